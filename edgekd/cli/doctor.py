"""Show what is installed here, what would run, and why the rest would not."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any

import typer

from edgekd.cli._options import Json, print_json
from edgekd.core import family
from edgekd.machine.doctor import doctor

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
    """Show what is installed here, what would run, and why the rest would not."""
    found = examine()
    if json_:
        print_json(found)
        return
    typer.echo(
        f"edgekd {found['edgekd']}, Python {found['python']}, {found['cores']} cores of {found['processor']}, "
        f"{found['board'] or 'not a Jetson'}\nNVIDIA driver: {found['driver']}; "
        f"free disk here: {found['free_disk_gib']:.1f} GiB\n"
    )
    typer.echo("this machine")
    for name, text in found["state"].items():
        typer.echo(f"  {name:<16} {text}")
    typer.echo("energy")
    for name, state in found["energy"].items():
        typer.echo(f"  {'no ' if state['why'] else 'ok '} {name:<13} {state['why'] or state['description']}")
    for title in ("stages", "backends"):
        typer.echo(title)
        for name, state in found[title].items():
            typer.echo(f"  {'no ' if state['why'] else 'ok '} {name:<13} {state['why'] or _versions(state)}")


def examine() -> dict[str, Any]:
    """Collect the facts as plain data: the agent's, and what only a workstation has."""
    return doctor() | {
        "system": f"{platform.system()} {platform.machine()}",
        "driver": _driver(),
        "free_disk_gib": shutil.disk_usage(Path.cwd()).free / 2**30,
        "stages": {stage: _stage(libraries) for stage, libraries in _NEEDS.items()},
    }


def _stage(libraries: tuple[str, ...]) -> dict[str, Any]:
    versions = {library: family.version_of(library) for library in libraries}
    missing = [library for library, version in versions.items() if version is None]
    why = f"needs {', '.join(missing)}; try: {family.install_command(missing[0])}" if missing else None
    return {"why": why, "versions": versions}


def _versions(state: dict[str, Any]) -> str:
    versions = ", ".join(f"{library} {version}" for library, version in state["versions"].items())
    return "; ".join(filter(None, (versions, state.get("caveat")))) or "built in"


def _driver() -> str:
    version = Path("/proc/driver/nvidia/version")
    try:
        return version.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return "none"
