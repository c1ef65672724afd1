"""Recipes: TOML that holds data only. One section a stage; its dataclass in ``sections`` is its schema.

A recipe lies in its pair's folder, ``models/<student>_from_<teacher>/``, beside ``model.py`` (the two networks) and
``weights/``: ``recipe.toml`` with the paper's sizes, and often ``small.toml`` with sizes that a laptop trains. Paths in
it are relative to that folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekd.core.config import ROLES, Recipe
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.schema import parse

if sys.version_info >= (3, 11):
    import tomllib
else:  # a workstation on Python 3.10; boards never read recipes
    import tomli as tomllib

PAPER, SMALL = "recipe.toml", "small.toml"


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file and apply ``--set`` overrides ("quantize.scheme=int8").

    Raises:
        RecipeError: Not TOML, or a key or value is wrong.
        InputError: The file cannot be read.
    """
    return recipe_from(read_toml(path, "a recipe.toml"), overrides)


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file; ``expected`` says what it should be.

    Raises:
        RecipeError: Not TOML.
        InputError: The file cannot be read.
    """
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; {expected} was expected") from err
    except (ValueError, RecursionError) as err:
        raise RecipeError(f"{path} is not TOML ({str(err)[:160]})") from err


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
    return sorted(recipe.parent.name for recipe in pairs_root().glob(f"*/{PAPER}"))


def find_recipe(source: str) -> Path:
    """Find a recipe by folder, by file, by the pair's name, or by either of these and "/small".

    A folder or a name is its recipe.toml; nothing but a path that says so is its small.toml.

    Raises:
        UnknownName: It is none of them; the message lists the pairs there are.
    """
    path, small = Path(source), Path(SMALL).stem
    inside = path.parent / SMALL if path.name == small else path / PAPER
    for candidate in (path, inside, path / PAPER, pairs_root() / inside):
        if candidate.suffix == ".toml" and candidate.is_file():
            return candidate
    # `edgekd run models/edsr_from_edsr` is what the README says; it must work from an installed wheel too.
    folder, file = (path.parent, SMALL) if path.name in (small, SMALL) else (path, PAPER)
    shipped = pairs_root() / folder.name / file
    if folder.name in pair_names() and folder.parent.name in ("", "models") and not path.is_absolute():
        if shipped.is_file():
            return shipped
        raise InputError(f"{shipped} does not exist; {folder.name} has one recipe, {PAPER}")
    raise UnknownName.among("pair", source, pair_names())


def runnable_recipe(source: str, overrides: Iterable[str] = ()) -> tuple[Path, str]:
    """Find the recipe whose weights are there: recipe.toml's where they are, else small.toml's.

    Args:
        source: As for ``find_recipe``; one that names a recipe is that recipe, with weights or without.
        overrides: As for ``load_recipe``; they may name weights.

    Returns:
        The recipe's path, and what must be said of the choice, "" where there was none.

    Raises:
        UnknownName, RecipeError, InputError: As ``find_recipe`` and ``load_recipe``.
    """
    path, overrides = find_recipe(source), tuple(overrides)
    small = path.with_name(SMALL)
    named = Path(source).suffix == ".toml" or path.name != PAPER
    if named or not small.is_file() or has_weights(path, overrides) or not has_weights(small, overrides):
        return path, ""
    return small, f"{path.parent.name}: no weights for {PAPER}, so {SMALL} and its weights are used"


def has_weights(recipe_path: Path, overrides: Iterable[str] = ()) -> bool:
    """Whether both checkpoints that a pair's recipe names are there."""
    pair = load_recipe(recipe_path, overrides).pair
    return pair is not None and all((recipe_path.parent / getattr(pair, role)).is_file() for role in ROLES)


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
