"""The job that the pipeline runs: what the user gave, a pair, a checkpoint or any ONNX file, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekd.core import family
from edgekd.core.artifact import sha256_of
from edgekd.core.config import ROLES, Recipe
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.provenance import digest_of
from edgekd.core.recipe import PAPER, SMALL, has_weights, load_recipe, recipe_from, runnable_recipe

CHECKPOINTS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """Where one network comes from.

    Attributes:
        path: A checkpoint, or an ONNX file.
        pair_folder: The folder whose model.py builds the network, where the source is a pair.
        module: ``package.module:callable`` that builds it, where the source is a lone checkpoint.
        sizes: Keyword arguments for the pair's ``teacher()`` or ``student()``, the recipe's ``[network.<role>]``.
    """

    path: Path
    pair_folder: Path | None = None
    module: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_onnx(self) -> bool:
        """Whether the network is an ONNX file already."""
        return self.path.suffix == ".onnx"

    @property
    def architecture(self) -> str:
        """What the graph depends on besides the weights: a digest of the network's code and of its sizes."""
        if self.pair_folder is None:
            return str(self.module)
        shared = Path(__file__).parents[1] / "networks"
        code = [self.pair_folder / "model.py", *sorted(shared.glob("*.py"))]
        return digest_of([[sha256_of(path) for path in code], dict(self.sizes)])


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the pipeline.

    Attributes:
        title: The pair's or the file's name.
        recipe: All stages' configurations.
        sources: Role → network, the one that others are compared with first.
        out: The folder that everything is written into.
        calibration_images: The user's own folder to calibrate on, instead of the recipe's.
        dims: Size of a dynamic dimension by name, for an ONNX file of the user's.
        evaluation: The user's own images to score on, laid out as the recipe's ``data.layout``.
        caveat: What the user must know of how the source was read; "" where there was no choice.
    """

    title: str
    recipe: Recipe
    sources: Mapping[str, NetworkSource]
    out: Path
    calibration_images: Path | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    evaluation: Path | None = None
    caveat: str = ""

    def with_data(
        self, calibration_images: Path | None, dims: Mapping[str, int], evaluation: Path | None = None
    ) -> Job:
        """Return this job with the user's images and sizes.

        Raises:
            InputError: ``evaluation`` is given for a network without a recipe, whose task is unknown.
        """
        if evaluation is not None and self.recipe.pair is None:
            raise InputError(
                f"--evaluation {evaluation} was given, but the task of {self.title} is unknown: a pair's recipe names "
                "the task that accuracy is measured by; leave it out"
            )
        return replace(self, calibration_images=calibration_images, dims=dims, evaluation=evaluation)


def job_from(source: str, out: Path | None, overrides: Sequence[str] = (), module: str | None = None) -> Job:
    """Read what the user gave.

    Args:
        source: A pair's folder, recipe or name; a checkpoint (with ``module``); an ONNX file. For a folder or
            name, small.toml is taken where only its weights exist.
        out: Where to write; ``runs/<title>`` by default.
        overrides: ``--set`` KEY=VALUE.
        module: ``package.module:callable`` for a lone checkpoint.

    Raises:
        InputError: It is none of these, or the file does not exist.
        RecipeError, UnknownName: The recipe, or an override, has something wrong in it.
    """
    path, caveat = Path(source), ""
    if path.suffix == ".onnx" or path.suffix in CHECKPOINTS:
        if not path.is_file():
            raise InputError(f"{path} does not exist; an ONNX file, a checkpoint, or a pair was expected")
        if path.suffix != ".onnx" and module is None:
            raise InputError(
                f"{path} is a checkpoint; say which network it belongs to with --module package.module:callable"
            )
        recipe, title = recipe_from({}, overrides), path.stem
        check_names(recipe)
        sources = {"model": NetworkSource(path, module=module)}
    else:
        recipe_path, caveat = runnable_recipe(source, overrides)
        recipe, title = load_recipe(recipe_path, overrides), _title(recipe_path)
        check_names(recipe)
        sources = _pair_sources(recipe, recipe_path)
    return Job(title, recipe, sources, out or Path("runs") / title, caveat=caveat)


def check_names(recipe: Recipe) -> None:
    """Check every family member a recipe names against the folder listings; nothing is imported.

    Raises:
        UnknownName: One of them does not exist.
    """
    named = [
        ("quantize.schemes", (*recipe.quantize.schemes, *recipe.quantize.options)),
        ("backends", (*recipe.build.backends, recipe.bench.backend)),
        ("targets", (recipe.build.target,)),
        ("distill.methods", (recipe.distill.teacher.method, recipe.distill.student.method)),
        ("tasks", (recipe.pair.task,) if recipe.pair else ()),
        ("datasets.layouts", (recipe.data.layout,)),
    ]
    for folder, wanted in named:
        known = family.names(folder)
        for name in wanted:
            if name not in known:
                raise UnknownName.among(family.SINGULAR[folder], name, known)
    if not recipe.quantize.schemes:
        raise RecipeError(
            "quantize.schemes = []; at least one of " + ", ".join(family.names("quantize.schemes")) + " was expected"
        )
    if recipe.bench.backend not in recipe.build.backends:
        raise RecipeError(
            f"bench.backend = {recipe.bench.backend!r} is not among build.backends = {list(recipe.build.backends)}; "
            "add it there, or there is no engine to time"
        )


def _title(recipe_path: Path) -> str:
    """Name a run after its pair, and after the recipe too where recipe.toml beside it has weights as well."""
    folder, paper = recipe_path.parent.resolve(), recipe_path.with_name(PAPER)
    if recipe_path.name == PAPER or not paper.is_file() or not has_weights(paper):
        return folder.name
    return f"{folder.name}-{recipe_path.stem}"


def _pair_sources(recipe: Recipe, recipe_path: Path) -> dict[str, NetworkSource]:
    folder = recipe_path.parent
    if recipe.pair is None:
        raise RecipeError(f"{recipe_path} has no [pair]; a pair's recipe needs its task")
    sources = {}
    for role in ROLES:
        path = folder / getattr(recipe.pair, role)
        if not path.is_file():
            source = folder if recipe_path.name == PAPER else recipe_path
            small = recipe_path.name == PAPER and recipe_path.with_name(SMALL).is_file()
            hint = f", or a network that a laptop trains: edgekd distill {folder / SMALL}" if small else ""
            raise InputError(f"{path} does not exist; train it first: edgekd distill {source} --role {role}{hint}")
        sources[role] = NetworkSource(path, pair_folder=folder, sizes=getattr(recipe.network, role))
    return sources
