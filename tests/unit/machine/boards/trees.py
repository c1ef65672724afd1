"""Files of boards, laid out below a folder as a board has them; README.md says which were recorded and where."""

from __future__ import annotations

import json
from pathlib import Path

TREES = json.loads((Path(__file__).parent / "boards.json").read_text(encoding="utf-8"))


def lay_out(board: str, root: Path) -> Path:
    """Write one board's files below ``root`` and return it."""
    write(root, {**TREES[board]["recorded"], **TREES[board]["constructed"]})
    return root


def write(root: Path, files: dict[str, str]) -> None:
    """Write files and the folders they lie in."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
