"""All errors that edgekd raises deliberately, one class per *who can fix it*.

::

    EdgeKDError                      printed as one line, never with a traceback
    ├── InputError           exit 2  the user's file or flag: what was found, what was expected
    │   ├── RecipeError      exit 2  names the key, the value and the nearest valid key
    │   ├── UnknownName      exit 2  no such variant; lists the variants
    │   ├── CalibrationError exit 2  too few, or unusable, calibration samples
    │   └── IntegrityError   exit 2  a file does not match its manifest
    ├── MachineError         exit 3  this machine or board cannot
    │   ├── MissingDependency exit 3 names the library, the extra and the command
    │   ├── TargetMismatch   exit 3  engine, board or library versions; names both sides
    │   ├── ParityError      exit 3  a conversion changed the numbers: tensor, measure, value, bound
    │   ├── BuildError       exit 3  the engine library refused the graph; its last messages
    │   ├── BoardError       exit 3  a board gave no valid answer
    │   └── WorkerError      exit 3  a child process crashed, was killed or timed out; its last output
    └── NotComparable        exit 5  two results; the condition that differs

Exit code 0 is success, 1 is the gate's "regress", 4 its "inconclusive". Any other exception is a bug in edgekd: exit
code 70, the only one with a traceback. Ctrl-C gives 130, as in a shell.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class EdgeKDError(Exception):
    """Base of the tree; the command line exits with ``exit_code``."""

    exit_code = 2


class InputError(EdgeKDError):
    """The user's file, folder or flag cannot be used."""


class RecipeError(InputError):
    """A recipe, or a ``--set`` override, has an unknown key or a wrong value."""


class UnknownName(InputError):
    """A family has no such member, or the project no such pair."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> UnknownName:
        """Make the error for ``name``: its message has the nearest known name, and all of them."""
        known = sorted(known)
        return cls(f"unknown {what} {name!r}{nearest(name, known)}; there are: {', '.join(known) or 'none'}")


class CalibrationError(InputError):
    """The calibration samples are missing, too few, or do not have the network's shape."""


class IntegrityError(InputError):
    """A file does not match the manifest beside it."""


class MachineError(EdgeKDError):
    """This machine, or the board, cannot do what was asked."""

    exit_code = 3


class MissingDependency(MachineError):
    """A library is not installed here."""


class TargetMismatch(MachineError):
    """An engine does not fit the board, or the version of the engine library."""


class ParityError(MachineError):
    """A conversion changed the network's numbers by more than its bound."""


class BuildError(MachineError):
    """The engine library refused the graph."""


class BoardError(MachineError):
    """A board gave no valid answer."""


class WorkerError(MachineError):
    """A child process crashed, was killed, or timed out.

    Attributes:
        timed_out: Whether it exceeded its time limit.
        output: The end of its output, stdout and stderr together.
    """

    def __init__(self, message: str, *, timed_out: bool = False, output: str = "") -> None:
        super().__init__(message)
        self.timed_out, self.output = timed_out, output


class NotComparable(EdgeKDError):
    """Two results were measured under unlike conditions."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest known name, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
