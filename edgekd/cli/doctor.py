"""Say what is installed here, what would run, and why the rest would not."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

import typer

from edgekd import __version__
from edgekd.cli._options import Json, answer
from edgekd.core import family
from edgekd.core.errors import EdgeKDError

# Stage → the libraries without which it cannot run, by the name one installs.
_NEEDS = {
    "distill": ("torch", "accelerate", "safetensors", "pillow"),
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "simplify": ("onnx", "onnxsim", "onnxruntime"),
    "quantize": ("onnx", "onnxruntime"),
    "bench": ("numpy",),
    "report": ("rich",),
}


def command(json_: Json = False) -> None:
    """Say what is installed here, what would run, and why the rest would not."""
    found = examine()
    if json_:
        answer(found)
        return
    machine = found["machine"]
    typer.echo(f"edgekd {__version__}, Python {machine['python']}, {machine['cores']} cores, {machine['system']}")
    typer.echo(f"NVIDIA driver: {machine['driver']}; free disk here: {machine['free_disk_gib']:.1f} GiB\n")
    for title in ("stages", "backends"):
        typer.echo(title)
        for name, state in found[title].items():
            mark = "ok " if state["ok"] else "no "
            typer.echo(f"  {mark} {name:<13} {state['says']}")


def examine() -> dict[str, Any]:
    """Collect the facts as plain data; nothing heavy is imported but what a backend needs to be tried."""
    return {
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "driver": _driver(),
            "free_disk_gib": shutil.disk_usage(Path.cwd()).free / 2**30,
        },
        "stages": {stage: _stage(libraries) for stage, libraries in _NEEDS.items()},
        "backends": {name: _backend(name) for name in family.names("backends")},
    }


def _stage(libraries: tuple[str, ...]) -> dict[str, Any]:
    versions = {library: family.version_of(library) for library in libraries}
    missing = [library for library, version in versions.items() if version is None]
    if missing:
        return {"ok": False, "says": f"needs {', '.join(missing)}; try: {family.install_command(missing[0])}"}
    return {"ok": True, "says": ", ".join(f"{library} {version}" for library, version in versions.items())}


def _backend(name: str) -> dict[str, Any]:
    try:
        backend = family.load("backends", name).BACKEND
    except (EdgeKDError, ImportError) as err:
        return {"ok": False, "says": str(err).splitlines()[0]}
    versions = (f"{library} {family.version_of(library) or 'unknown'}" for library in backend.libraries)
    return {"ok": True, "says": "; ".join(filter(None, (", ".join(versions), backend.notice))) or "built in"}


def _driver() -> str:
    version = Path("/proc/driver/nvidia/version")
    try:
        return version.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return "none"
