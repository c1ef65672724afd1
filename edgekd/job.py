"""What the user gave, a pair, a checkpoint or any ONNX file, and what it means: the job that the pipeline runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekd.core import family
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.recipe import find_recipe, load_recipe, recipe_from
from edgekd.core.sections import ROLES, Recipe

CHECKPOINTS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one network comes from.

    Attributes:
        path: A checkpoint, or an ONNX file.
        pair_folder: The folder whose model.py builds the network, where the source is a pair.
        module: ``package.module:callable`` that builds it, where the source is a lone checkpoint.
    """

    path: Path
    pair_folder: Path | None = None
    module: str | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether the network is an ONNX file already."""
        return self.path.suffix == ".onnx"


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the pipeline.

    Attributes:
        title: The pair's or the file's name.
        recipe: All stages' configurations.
        origins: Role → network, the one that others are compared with first.
        out: The folder that everything is written into.
        images: The user's own calibration pictures, instead of the recipe's.
        dims: Size of a dynamic dimension by name, for a foreign ONNX file.
    """

    title: str
    recipe: Recipe
    origins: Mapping[str, Origin]
    out: Path
    images: Path | None = None
    dims: Mapping[str, int] = field(default_factory=dict)

    def with_data(self, images: Path | None, dims: Mapping[str, int]) -> Job:
        """Return this job with the user's pictures and sizes."""
        return replace(self, images=images, dims=dims)


def job_from(source: str, out: Path | None, overrides: Sequence[str] = (), module: str | None = None) -> Job:
    """Find out what ``source`` is.

    Args:
        source: A pair's folder, recipe or name; a checkpoint (with ``module``); an ONNX file.
        out: Where to write; ``runs/<title>`` by default.
        overrides: ``--set`` KEY=VALUE.
        module: ``package.module:callable`` for a lone checkpoint.

    Raises:
        InputError: It is none of these, or the file is not there.
        RecipeError, UnknownName: The recipe, or an override, has something wrong in it.
    """
    path = Path(source)
    if path.suffix == ".onnx" or path.suffix in CHECKPOINTS:
        if not path.is_file():
            raise InputError(f"{path} does not exist; an ONNX file, a checkpoint, or a pair was expected")
        if path.suffix != ".onnx" and module is None:
            raise InputError(
                f"{path} is a checkpoint; say which network it belongs to with --module package.module:callable"
            )
        recipe, title = recipe_from({}, overrides), path.stem
        origins = {"model": Origin(path, module=module)}
    else:
        recipe_path = find_recipe(source)
        recipe, title = load_recipe(recipe_path, overrides), recipe_path.parent.name
        origins = _pair_origins(recipe, recipe_path.parent)
    check_names(recipe)
    return Job(title, recipe, origins, out or Path("runs") / title)


def check_names(recipe: Recipe) -> None:
    """Check every family member a recipe names against the folder listings; nothing is imported.

    Raises:
        UnknownName: One of them does not exist.
    """
    named = [
        ("quantize", (*recipe.quantize.schemes, recipe.quantize.scheme)),
        ("backends", (*recipe.build.backends, recipe.bench.backend)),
        ("targets", (recipe.build.target,)),
        ("distill", (recipe.distill.teacher.method, recipe.distill.student.method)),
        ("tasks", (recipe.pair.task,) if recipe.pair else ()),
    ]
    singular = {"quantize": "quantization scheme", "distill": "distillation method"}
    for folder, wanted in named:
        known = family.names(folder)
        for name in wanted:
            if name not in known:
                raise UnknownName.among(singular.get(folder, folder.rstrip("s")), name, known)
    if not recipe.quantize.schemes:
        raise RecipeError(
            "quantize.schemes = []; at least one of " + ", ".join(family.names("quantize")) + " was expected"
        )
    if recipe.bench.backend not in recipe.build.backends:
        raise RecipeError(
            f"bench.backend = {recipe.bench.backend!r} is not among build.backends = {list(recipe.build.backends)}: "
            "there would be no engine to time"
        )


def _pair_origins(recipe: Recipe, folder: Path) -> dict[str, Origin]:
    if recipe.pair is None:
        raise RecipeError(f"{folder / 'recipe.toml'} has no [pair]; a pair's recipe needs its task")
    origins = {}
    for role in ROLES:
        path = folder / getattr(recipe.pair, role)
        if not path.is_file():
            raise InputError(f"{path} does not exist; train it first: edgekd distill {folder} --role {role}")
        origins[role] = Origin(path, pair_folder=folder)
    return origins
