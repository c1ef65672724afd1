"""Writes the files of boards below a folder; README.md says which of them were recorded, and where."""

from __future__ import annotations

import json
from pathlib import Path

TREES = json.loads((Path(__file__).parent / "boards.json").read_text(encoding="utf-8"))


def lay_out(board: str, root: Path) -> Path:
    """Write one board's files below ``root`` and return it."""
    write(root, {**TREES[board]["recorded"], **TREES[board]["constructed"]})
    return root


def lay_out_every_sensor(root: Path) -> Path:
    """Write a machine that has every sensor that is a file: a Jetson's rails, RAPL's counters and tegrastats."""
    lay_out("orin_nano_8gb super, L4T 36.4.7", root)
    zone = "sys/class/powercap/intel-rapl:0/"
    write(
        root, {f"{zone}name": "package-0", f"{zone}energy_uj": "5000000", f"{zone}max_energy_range_uj": "262143999938"}
    )
    write_tegrastats(root, *["VDD_IN 5000mW/5000mW VDD_SOC 1000mW/1000mW"] * 3)
    return root


def write_tegrastats(root: Path, *lines: str) -> Path:
    """Write a simulated tegrastats, which prints these lines and waits; return ``root``."""
    program = root / "usr/bin/tegrastats"
    printed = "".join(f"echo '{line}'\n" for line in lines)
    write(root, {"usr/bin/tegrastats": f"#!/bin/sh\n{printed}exec sleep 60\n"})
    program.chmod(0o755)
    return root


def write(root: Path, files: dict[str, str]) -> None:
    """Write files and their folders."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
