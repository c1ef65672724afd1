"""Adds a member to a family at run time, from a folder outside the package: the proof that no list names members."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def new_member(family: str, name: str, source: str, folder: Path) -> Iterator[None]:
    """Write a member's file and keep its folder on the family package's path until the end.

    Args:
        family: A sub-package of edgekd, such as "quantize.schemes".
        name: The member's name.
        source: The file's text.
        folder: A temporary folder that holds nothing else.
    """
    package = importlib.import_module(f"edgekd.{family}")
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    package.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        package.__path__.remove(str(folder))
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)
