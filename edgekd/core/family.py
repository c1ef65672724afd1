"""Families: a folder in which one file is one variant. The directory listing is the registry.

>>> names("backends")           # lists files; imports none of them
['null', 'onnxruntime', ...]
>>> load("backends", "null")    # imports exactly one
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from pathlib import Path
from types import ModuleType

from edgekd.core.errors import MissingDependency, UnknownName

# Where the name one imports is not the name one installs (dashes and underscores are handled by rule).
_DISTRIBUTION = {"PIL": "pillow", "skimage": "scikit-image", "google": "protobuf"}

# What one member of a family is called in a message.
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
    """List the members of ``family``, a sub-package of edgekd like "quantize.schemes"; none is imported."""
    spec = importlib.util.find_spec(f"edgekd.{family}")
    if spec is None or not spec.submodule_search_locations:
        return []
    files = (path for root in spec.submodule_search_locations for path in Path(root).glob("*.py"))
    return sorted(path.stem for path in files if not path.stem.startswith("_"))


def load(family: str, name: str) -> ModuleType:
    """Import one member of ``family``.

    Raises:
        UnknownName: There is no such file; the message lists the ones there are.
        MissingDependency: The file's library is not installed. A library that *is* installed but broken raises its
            own ImportError, unhidden.
    """
    known = names(family)
    if name not in known:
        raise UnknownName.among(SINGULAR.get(family, family), name, known)
    return load_module(f"edgekd.{family}.{name}")


def load_module(module: str) -> ModuleType:
    """Import ``module`` by its full name, turning a library that is not installed into MissingDependency."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        missing = (err.name or "").partition(".")[0]
        if missing in ("", "edgekd"):
            raise
        raise _missing(module.removeprefix("edgekd.").replace(".", "/"), missing) from err


def require(library: str, by: str) -> None:
    """Raise MissingDependency where ``library``, which ``by`` runs in another process, is not installed."""
    if importlib.util.find_spec(library) is None:
        raise _missing(by, library)


def _missing(by: str, library: str) -> MissingDependency:
    return MissingDependency(f"{by} needs {library!r}, which is not installed here; try: {install_command(library)}")


def install_command(library: str) -> str:
    """Return the pip command that brings ``library``: one of edgekd's extras where one has it."""
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


def version_of(library: str) -> str | None:
    """Return the installed version of a distribution without importing it, or None."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
