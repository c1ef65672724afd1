"""Recipes: TOML that holds data only. One section a stage; its dataclass in ``sections`` is its schema.

A recipe lies in its pair's folder, ``models/<student>_from_<teacher>/recipe.toml``, beside ``model.py`` (the two
networks) and ``weights/``. Paths in it are relative to that folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.schema import parse
from edgekd.core.sections import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:  # a workstation on Python 3.10; boards never read recipes
    import tomli as tomllib


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file and apply ``--set`` overrides ("quantize.scheme=int8").

    Raises:
        RecipeError: Not TOML, or a key or value is wrong.
        InputError: The file cannot be read.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; a recipe.toml was expected") from err
    except (ValueError, RecursionError) as err:
        raise RecipeError(f"{path} is not TOML ({str(err)[:160]})") from err
    return recipe_from(table, overrides)


def recipe_from(table: Mapping[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """Build a recipe from plain data and overrides. Raises RecipeError."""
    merged = dict(table)
    for override in overrides:
        _apply(merged, override)
    return parse(Recipe, merged, "recipe")


def pairs_root() -> Path:
    """Return the folder of pairs: ``models/`` of a source checkout, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def pair_names() -> list[str]:
    """List the pairs at hand."""
    return sorted(recipe.parent.name for recipe in pairs_root().glob("*/recipe.toml"))


def find_recipe(source: str) -> Path:
    """Find a recipe by folder, by file, or by the pair's name.

    Raises:
        UnknownName: It is none of them; the message lists the pairs there are.
    """
    path = Path(source)
    for candidate in (path, path / "recipe.toml", pairs_root() / source / "recipe.toml"):
        if candidate.suffix == ".toml" and candidate.is_file():
            return candidate
    # `edgekd run models/edsr_from_edsr` is what the README says; it must work from an installed wheel too.
    if path.name in pair_names() and path.parent.name in ("", "models") and not os.path.isabs(source):
        return pairs_root() / path.name / "recipe.toml"
    raise UnknownName.among("pair", source, pair_names())


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise RecipeError(f"--set {override!r} is not KEY=VALUE with a dotted key, like quantize.scheme=int8")
    for part in parts[:-1]:
        below = table.get(part, {})
        if not isinstance(below, Mapping):
            raise RecipeError(f"--set {override!r}: {part!r} is {below!r}, not a table")
        table[part] = below = dict(below)
        table = below
    table[parts[-1]] = _literal(text.strip())


def _literal(text: str) -> Any:
    """Read a TOML value; what is not one is taken as a bare string, so that ``scheme=int8`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
