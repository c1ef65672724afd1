"""What a report format offers: the protocols of ``edgekd/report/formats/``, and lookups by capability.

A format is a module. Code asks ``isinstance(module, VerdictFormat)``.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Protocol, runtime_checkable

from edgekd.core import family
from edgekd.core.errors import InputError, UnknownName
from edgekd.core.previews import Previews
from edgekd.results.result import BenchmarkResult, CandidateResult
from edgekd.results.verdict import Verdict

FAMILY = "report.formats"


@runtime_checkable
class ResultFormat(Protocol):
    """A format that shows a benchmark result.

    Attributes:
        FILE_NAME: The file's usual name, unique in the family.
    """

    FILE_NAME: str

    def render(self, result: BenchmarkResult, previews: Previews | None = None) -> str:
        """Return the file's text. A format without pictures ignores ``previews``."""


@runtime_checkable
class ResultFileFormat(ResultFormat, Protocol):
    """A format that also shows the files beside a result: its previews and the manifests of what it measured."""

    def render_file(self, path: Path) -> str:
        """Return the text for the ``result.json`` at ``path``."""


@runtime_checkable
class VerdictFormat(Protocol):
    """A format that shows a gate's verdict.

    Attributes:
        FILE_NAME: The file's usual name, unique in the family.
    """

    FILE_NAME: str

    def render_verdict(self, verdict: Verdict) -> str:
        """Return the file's text."""


@runtime_checkable
class MachineFormat(Protocol):
    """A format for other programs.

    Attributes:
        READ_BY: Which programs read it.
    """

    READ_BY: str


@runtime_checkable
class SingleEngineFormat(Protocol):
    """A format that holds one engine; ``render`` raises InputError for a result of several.

    Attributes:
        SINGLE_ENGINE: True.
    """

    SINGLE_ENGINE: bool


def result_formats() -> list[str]:
    """Return the names of the formats that show a result."""
    return [name for name, module in _modules() if isinstance(module, ResultFormat)]


def verdict_formats() -> list[str]:
    """Return the names of the formats that show a verdict."""
    return [name for name, module in _modules() if isinstance(module, VerdictFormat)]


def result_format(name: str) -> ResultFormat:
    """Load the format ``name``.

    Raises:
        UnknownName: There is no such format, or it cannot show a result.
        MissingDependency: Its library is not installed.
    """
    # An unknown name is answered with the formats of a result alone, not with the whole family.
    module = family.load(FAMILY, name) if name in family.names(FAMILY) else None
    if not isinstance(module, ResultFormat):
        raise UnknownName.among("format of a result", name, result_formats())
    return module


def verdict_format(name: str) -> VerdictFormat:
    """Load the format ``name``.

    Raises:
        UnknownName: There is no such format, or it cannot show a verdict.
        MissingDependency: Its library is not installed.
    """
    module = family.load(FAMILY, name) if name in family.names(FAMILY) else None
    if not isinstance(module, VerdictFormat):
        raise UnknownName.among("format of a verdict", name, verdict_formats())
    return module


def single_candidate(result: BenchmarkResult) -> CandidateResult:
    """Return the result's only candidate, for a format that holds one engine.

    Raises:
        InputError: The result has several.
    """
    if len(result.candidates) > 1:
        names = ", ".join(candidate.name for candidate in result.candidates)
        raise InputError(f"this format holds one engine, {result.title} has {names}; choose one with --candidate")
    return result.candidates[0]


def _modules() -> list[tuple[str, ModuleType]]:
    return [(name, family.load(FAMILY, name)) for name in family.names(FAMILY)]
