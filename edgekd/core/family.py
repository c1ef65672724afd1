"""Families: folders in which each file is one variant. The directory listing is the registry.

>>> names("backends")           # lists files; imports none of them
['null', 'onnxruntime', ...]
>>> load("backends", "null")    # imports only this one
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekd.core.errors import MissingDependency, UnknownName

# Import name → distribution name, where they differ by more than dashes and underscores.
_DISTRIBUTION = {"PIL": "pillow", "skimage": "scikit-image", "google": "protobuf"}

# What messages call one member of a family.
SINGULAR = {
    "backends": "backend",
    "cli": "command",
    "convert.preprocessing": "task with preprocessing as a graph",
    "datasets.layouts": "data layout",
    "distill.methods": "distillation method",
    "machine.sensors": "sensor",
    "quantize.schemes": "quantization scheme",
    "report.formats": "report format",
    "targets": "target",
    "tasks": "task",
}


def names(family: str) -> list[str]:
    """Return the members of ``family``, a sub-package of edgekd like "quantize.schemes", without importing any."""
    return sorted(_files(family))


def _folders(package: str) -> list[str]:
    """Return where an import would look for modules of ``package``, without importing it."""
    if package in sys.modules:
        # Its __path__ may have been extended since it was imported; its spec does not know that.
        return list(getattr(sys.modules[package], "__path__", []))
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or []) if spec else []


def load(family: str, name: str) -> ModuleType:
    """Import one member of ``family``.

    Raises:
        UnknownName: There is no such file; the message lists the existing ones.
        MissingDependency: The file's library is not installed. A library that is installed but broken raises its own
            ImportError.
    """
    known = names(family)
    if name not in known:
        raise UnknownName.among(SINGULAR.get(family, family), name, known)
    return load_module(f"edgekd.{family}.{name}")


def constant(family: str, name: str, variable: str) -> Any:
    """Read a literal that a member assigns at its top level; the member and its libraries are not imported.

    Args:
        family: A sub-package of edgekd, like "quantize.schemes".
        name: The member.
        variable: What it assigns, like "LIBRARIES"; a constant that Python's ``ast.literal_eval`` takes.

    Raises:
        UnknownName: There is no such file.
        AttributeError: The file does not assign the variable, or its value is not a literal.
    """
    files = _files(family)
    if name not in files:
        raise UnknownName.among(SINGULAR.get(family, family), name, files)
    path = files[name]
    value = _assignments(path, path.stat().st_mtime_ns).get(variable)
    if value is None:
        raise AttributeError(f"{path} assigns no {variable}; every member of {family!r} has one")
    try:
        return ast.literal_eval(value)
    except ValueError as err:
        raise AttributeError(f"{variable} of {path} is not a literal; write its value out") from err


@functools.lru_cache(maxsize=256)
def _assignments(path: Path, modified_ns: int) -> dict[str, ast.expr]:
    """Return what a file assigns at its top level, by name; parsed once, since a run asks for the same few again."""
    found: dict[str, ast.expr] = {}
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, value)
    return found


def load_module(module: str) -> ModuleType:
    """Import ``module`` by its full name.

    Raises:
        MissingDependency: A library that it imports is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        missing = (err.name or "").partition(".")[0]
        if missing in ("", "edgekd"):
            raise  # a module of our own is missing: a bug, not a dependency
        raise _missing(module.removeprefix("edgekd.").replace(".", "/"), missing) from err


def require(library: str, by: str) -> None:
    """Check that a library is installed which is only imported in a child process.

    Args:
        library: Import name.
        by: What needs it, for the message.

    Raises:
        MissingDependency: It is not installed.
    """
    if importlib.util.find_spec(library) is None:
        raise _missing(by, library)


def _files(family: str) -> dict[str, Path]:
    found = (path for folder in _folders(f"edgekd.{family}") for path in Path(folder).glob("*.py"))
    return {path.stem: path for path in found if not path.stem.startswith("_")}


def _missing(by: str, library: str) -> MissingDependency:
    return MissingDependency(f"{by} needs {library!r}, which is not installed here; try: {install_command(library)}")


def install_command(library: str) -> str:
    """Return the pip command that installs ``library``: one of edgekd's extras if an extra contains it."""
    wanted = _normal(_DISTRIBUTION.get(library, library))
    try:
        requirements = importlib.metadata.requires("edgekd") or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    for requirement in requirements:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        name = re.match(r"[\w.-]+", requirement)
        if extra and name and _normal(name.group()) == wanted:
            return f"pip install 'edgekd[{extra.group(1)}]'"
    return f"pip install {wanted}"


@functools.cache  # a run asks dozens of times, and each answer is read from a file
def version_of(library: str) -> str | None:
    """Return the installed version of a distribution without importing it, or None."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
