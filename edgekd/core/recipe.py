"""Recipes: TOML files that hold data only. Each stage has a section, whose schema is a dataclass in ``core.config``.

A recipe is in its pair's folder, ``models/<student>_from_<teacher>/``, beside ``model.py`` (the two networks) and
``weights/``: ``recipe.toml`` has the paper's sizes, and often ``small.toml`` has sizes that a laptop can train. Paths
in a recipe are relative to that folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
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

# Old key → new key, "*" for any name between two dots. An old key is refused with the new name.
RENAMED_KEYS = {
    "quantize.keep": "quantize.exclude_nodes",
    "quantize.scheme": "quantize.schemes",
    "quantize.calibration": "quantize.options.int8.calibration",
    "quantize.percentile": "quantize.options.int8.percentile",
    "distill.*.keep": "distill.*.checkpoint_selection",
    "distill.*.rates": "distill.*.lr_multipliers",
    "distill.*.taps": "distill.*.feature_layers",
    "bench.width": "bench.ci_half_width",
    "bench.blocks": "bench.min_rounds",
    "bench.stages": "bench.end_to_end",
    "bench.yardstick": "bench.reference_workload",
    "bench.max_foreign_load": "bench.max_background_load",
    "data.assumed_scale": "input.scale",
    "export.embed_preprocess": "export.include_preprocessing",
}


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe file and apply ``--set`` overrides ("bench.processes=15").

    Raises:
        RecipeError: The file is not TOML, or a key or value is wrong.
        InputError: The file cannot be read.
    """
    return recipe_from(read_toml(path, "a recipe.toml"), overrides)


def read_toml(path: Path, expected: str) -> dict[str, Any]:
    """Read a TOML file; ``expected`` is what messages say it should be.

    Raises:
        RecipeError: The file is not TOML.
        InputError: The file cannot be read.
    """
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; {expected} was expected") from err
    except (ValueError, RecursionError) as err:
        raise RecipeError(f"{path} is not TOML ({str(err)[:160]})") from err


def recipe_from(table: Mapping[str, Any], overrides: Iterable[str] = ()) -> Recipe:
    """Build a recipe from plain data and overrides; ``table`` is not changed.

    Raises:
        RecipeError: A key or value is wrong, or a key was renamed.
    """
    return parse(Recipe, with_overrides(table, overrides), "recipe")


def with_overrides(table: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return plain data with the overrides applied; ``table`` is not changed.

    Raises:
        RecipeError: An override is malformed, or a key was renamed.
    """
    merged = dict(table)
    for override in overrides:
        _apply(merged, override)
    _refuse_renamed(merged)
    return merged


def pairs_root() -> Path:
    """Return the folder of pairs: ``models/`` of a source checkout, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def pair_names() -> list[str]:
    """Return the names of all shipped pairs, sorted."""
    return sorted(recipe.parent.name for recipe in pairs_root().glob(f"*/{PAPER}"))


def find_recipe(source: str) -> Path:
    """Find a recipe by file, by folder, by the pair's name, or by a folder or name followed by "/small".

    A folder or a name stands for its recipe.toml; small.toml is used only if ``source`` says so.

    Raises:
        UnknownName: There is no such recipe; the message lists the pairs.
        InputError: The pair has no small.toml.
    """
    path, small = Path(source), Path(SMALL).stem
    inside = path.parent / SMALL if path.name == small else path / PAPER
    for candidate in (path, inside, path / PAPER, pairs_root() / inside):
        if candidate.suffix == ".toml" and candidate.is_file():
            return candidate
    # The README says `edgekd run models/edsr_from_edsr`: it must also work from an installed wheel.
    folder, file = (path.parent, SMALL) if path.name in (small, SMALL) else (path, PAPER)
    shipped = pairs_root() / folder.name / file
    if folder.name in pair_names() and folder.parent.name in ("", "models") and not path.is_absolute():
        if shipped.is_file():
            return shipped
        raise InputError(f"{shipped} does not exist; {folder.name} has one recipe, {PAPER}")
    raise UnknownName.among("pair", source, pair_names())


def runnable_recipe(source: str, overrides: Iterable[str] = ()) -> tuple[Path, str]:
    """Find the recipe whose weights exist: recipe.toml if its weights do, else small.toml.

    Args:
        source: As for ``find_recipe``. If it names a recipe file, that one is returned, with or without weights.
        overrides: As for ``load_recipe``; they may name weights.

    Returns:
        The recipe's path, and a sentence about the choice for the user; "" if there was none to make.

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
    """Whether both checkpoints exist that a pair's recipe names."""
    pair = load_recipe(recipe_path, overrides).pair
    return pair is not None and all((recipe_path.parent / getattr(pair, role)).is_file() for role in ROLES)


def _refuse_renamed(table: Mapping[str, Any]) -> None:
    """Raise RecipeError where ``table`` has a key of ``RENAMED_KEYS``, naming the new one."""
    for path in _paths(table):
        for old, new in RENAMED_KEYS.items():
            if len(old.split(".")) == len(path) and fnmatchcase(".".join(path), old):
                # The name that "*" matched is the same in the new key.
                written = new.replace("*", path[1])
                raise RecipeError(f"{'.'.join(path)} was renamed: write {written}")


def _paths(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key in nested tables."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, Mapping):
            yield from _paths(value, (*above, key))


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise RecipeError(f"--set {override!r} is not KEY=VALUE with a dotted key, like bench.processes=15")
    for part in parts[:-1]:
        below = table.get(part, {})
        if not isinstance(below, Mapping):
            raise RecipeError(f"--set {override!r}: {part!r} is {below!r}, not a table")
        table[part] = below = dict(below)  # a copy: the caller's table stays as it is
        table = below
    table[parts[-1]] = literal(text.strip())


def literal(text: str) -> Any:
    """Read a TOML value; anything else is a plain string, so that ``build.target=orin_nx_16gb`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
