"""Every error edgekd raises on purpose, one class per *who can fix it*.

::

    EdgeKDError                      printed as one line, never with a traceback
    ├── InputError           exit 2  the user's file or flag: what was found, what was expected
    │   ├── RecipeError      exit 2  names the key, the value and the nearest right key
    │   ├── UnknownName      exit 2  no such variant; lists the variants
    │   ├── CalibrationError exit 2  too few, or unusable, calibration samples
    │   └── IntegrityError   exit 2  a file is not what its manifest says
    ├── MachineError         exit 3  this machine or board cannot
    │   ├── MissingDependency exit 3 names the library, the extra and the command
    │   ├── TargetMismatch   exit 3  engine, board or library versions; names both sides
    │   ├── ParityError      exit 3  a converter moved the numbers: tensor, measure, value, bound
    │   ├── BuildError       exit 3  the engine library refused; its last messages
    │   └── BoardError       exit 3  a board did not answer as it should
    └── NotComparable        exit 5  two results; the condition that differs

Exit 0 is good, 1 is the gate's "regress", 4 its "inconclusive". Anything that is not an EdgeKDError is a bug in
edgekd: exit 70, the only one with a traceback. Ctrl-C is the shell's 130.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class EdgeKDError(Exception):
    """Base of the tree; ``exit_code`` is what the command line returns for it."""

    exit_code = 2


class InputError(EdgeKDError):
    """The user's file, folder or flag is not usable as it is."""


class RecipeError(InputError):
    """A recipe, or a ``--set`` override, has a key or value that means nothing here."""


class UnknownName(InputError):
    """A family has no such member, or the project no such pair."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> UnknownName:
        """Build the message: the wrong name, the nearest right one, and all of them."""
        known = sorted(known)
        return cls(f"unknown {what} {name!r}{nearest(name, known)}; there are: {', '.join(known) or 'none'}")


class CalibrationError(InputError):
    """The calibration samples are missing, too few, or not of the network's shape."""


class IntegrityError(InputError):
    """A file does not match the manifest that lies beside it."""


class MachineError(EdgeKDError):
    """This machine, or the board, cannot do what was asked."""

    exit_code = 3


class MissingDependency(MachineError):
    """A library is not installed here."""


class TargetMismatch(MachineError):
    """An engine, a board and a library do not belong together."""


class ParityError(MachineError):
    """A conversion changed the network's numbers by more than its bound."""


class BuildError(MachineError):
    """The engine library refused the graph."""


class BoardError(MachineError):
    """A board did not answer as it should."""


class NotComparable(EdgeKDError):
    """Two results were taken under unlike conditions."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest known name, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
