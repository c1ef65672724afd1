"""The job that the pipeline runs: what the user gave, a pair, a checkpoint or any ONNX file, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from edgekd.core import family
from edgekd.core.artifact import sha256_of
from edgekd.core.config import ROLES, Recipe
from edgekd.core.errors import InputError, RecipeError, UnknownName
from edgekd.core.preprocessing import fits_by_contract
from edgekd.core.protocols import Pictures, Task
from edgekd.core.provenance import digest_of
from edgekd.core.recipe import PAPER, SMALL, has_weights, load_recipe, runnable_recipe, with_overrides
from edgekd.core.schema import parse

CHECKPOINTS = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """Where one network comes from.

    Attributes:
        path: A checkpoint, or an ONNX file.
        pair_folder: The folder whose model.py builds the network, where the source is a pair.
        model: What builds it where the source is a lone checkpoint: ``--model``, see ``networks.model_source``.
        sizes: Keyword arguments for the pair's ``teacher()`` or ``student()``, the recipe's ``[network.<role>]``.
    """

    path: Path
    pair_folder: Path | None = None
    model: str | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_onnx(self) -> bool:
        """Whether the network is an ONNX file already."""
        return self.path.suffix == ".onnx"

    @property
    def architecture(self) -> str:
        """What the graph depends on besides the weights: a digest of the network's code and of its sizes."""
        if self.pair_folder is None:
            return self._model_code()
        shared = Path(__file__).parents[1] / "networks"
        code = [self.pair_folder / "model.py", *sorted(shared.glob("*.py"))]
        return digest_of([[sha256_of(path) for path in code], dict(self.sizes)])

    def _model_code(self) -> str:
        """Return ``--model`` with what tells that its code has changed: the file's digest, or the library's version."""
        text = str(self.model)
        where = text.partition("?")[0].rpartition(":")[0]
        if where.endswith(".py"):
            return f"{text} {sha256_of(Path(where))}" if Path(where).is_file() else text
        version = family.version_of(where.partition(".")[0]) if where else None
        return f"{text} {version or ''}".strip()


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
        has_shape: Whether the user has set ``export.shape``.
    """

    title: str
    recipe: Recipe
    sources: Mapping[str, NetworkSource]
    out: Path
    calibration_images: Path | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    evaluation: Path | None = None
    caveat: str = ""
    has_shape: bool = False

    @property
    def is_lone(self) -> bool:
        """Whether it is one network of the user's own, without a pair."""
        return any(source.pair_folder is None for source in self.sources.values())

    @property
    def task(self) -> str:
        """The task, "" if it is unknown."""
        return self.recipe.pair.task if self.recipe.pair is not None else ""

    def with_data(
        self, calibration_images: Path | None, dims: Mapping[str, int], evaluation: Path | None = None
    ) -> Job:
        """Return this job with the user's images and sizes.

        Raises:
            InputError: One of them would have no effect.
        """
        if evaluation is not None and not self.task:
            raise InputError(
                f"--evaluation {evaluation} was given, but the task of {self.title} is unknown; name what accuracy is "
                f"measured by with --task, one of {', '.join(family.names('tasks'))}"
            )
        if dims and not any(source.is_onnx for source in self.sources.values()):
            raise InputError(
                f"--dim {next(iter(dims))} was given, but {self.title} is not an ONNX file; the sizes of an exported "
                "network are --input-size, or export.shape in a recipe"
            )
        return replace(self, calibration_images=calibration_images, dims=dims, evaluation=evaluation)


def job_from(
    source: str,
    out: Path | None,
    overrides: Sequence[str] = (),
    model: str | None = None,
    roles: Sequence[str] = ROLES,
) -> Job:
    """Read what the user gave.

    Args:
        source: A pair's folder, recipe or name; a checkpoint (with ``model``); an ONNX file. For a folder or
            name, small.toml is taken where only its weights exist.
        out: Where to write; ``runs/<title>`` by default.
        overrides: ``--set`` KEY=VALUE.
        model: ``--model``, for a lone checkpoint.
        roles: Networks of a pair that are needed.

    Raises:
        InputError: It is none of these, the file does not exist, or an option has no effect on it.
        RecipeError, UnknownName: The recipe, or an override, has something wrong in it.
    """
    path = Path(source)
    if path.suffix == ".onnx" or path.suffix in CHECKPOINTS:
        return _lone_job(path, out, overrides, model)
    if model is not None:
        raise InputError(f"--model {model} was given, but {source} is a pair, whose model.py builds its networks")
    recipe_path, caveat = runnable_recipe(source, overrides)
    recipe, title = load_recipe(recipe_path, overrides), _title(recipe_path)
    check_names(recipe)
    _check_input(recipe)
    sources = _pair_sources(recipe, recipe_path, roles)
    return Job(title, recipe, sources, out or Path("runs") / title, caveat=caveat)


def _lone_job(path: Path, out: Path | None, overrides: Sequence[str], model: str | None) -> Job:
    """Read a network of the user's own: a checkpoint with ``--model``, or an ONNX file."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; an ONNX file, a checkpoint, or a pair was expected")
    is_onnx = path.suffix == ".onnx"
    if not is_onnx and model is None:
        raise InputError(
            f"{path} is a checkpoint; say which network it belongs to with --model timm:NAME, torchvision:NAME, "
            "path.py:function or package.module:function"
        )
    if is_onnx and model is not None:
        raise InputError(
            f"--model {model} was given, but {path} is an ONNX file, which holds its network; leave it out"
        )
    table = with_overrides({}, overrides)
    recipe = _with_layout(parse(Recipe, table, "recipe"), table)
    check_names(recipe)
    _check_input(recipe)
    if recipe.pair is None and recipe.task:
        raise RecipeError(f"task.{next(iter(recipe.task))} was given without a task; name it with --task")
    sources = {"model": NetworkSource(path, model=model)}
    return Job(
        path.stem, recipe, sources, out or Path("runs") / path.stem, has_shape="shape" in table.get("export", {})
    )


def _with_layout(recipe: Recipe, table: Mapping[str, Any]) -> Recipe:
    """Take the task's own data layout where the user named none."""
    task = recipe.pair.task if recipe.pair is not None else ""
    if task not in family.names("tasks") or "layout" in table.get("data", {}):
        return recipe
    layout = family.constant("tasks", task, "LAYOUT")
    return replace(recipe, data=replace(recipe.data, layout=layout))


def _check_input(recipe: Recipe) -> None:
    """Raise RecipeError where ``[input]`` asks for what the task cannot have."""
    resize = recipe.input.resize
    if recipe.pair is None or resize is None:
        return
    task = cast("Task", family.load("tasks", recipe.pair.task))
    if not fits_by_contract(task):
        raise RecipeError(f"input.resize = {resize!r}; {recipe.pair.task} takes images at the network's own size")
    if isinstance(task, Pictures) and resize != "stretch":
        raise RecipeError(
            f"input.resize = {resize!r}; {recipe.pair.task} labels the whole image: 'stretch' was expected"
        )


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


def _pair_sources(recipe: Recipe, recipe_path: Path, roles: Sequence[str]) -> dict[str, NetworkSource]:
    folder = recipe_path.parent
    if recipe.pair is None:
        raise RecipeError(f"{recipe_path} has no [pair]; a pair's recipe needs its task")
    sources = {}
    for role in roles:
        path = folder / getattr(recipe.pair, role)
        if not path.is_file():
            source = folder if recipe_path.name == PAPER else recipe_path
            small = recipe_path.name == PAPER and recipe_path.with_name(SMALL).is_file()
            hint = f", or a network that a laptop trains: edgekd distill {folder / SMALL}" if small else ""
            raise InputError(f"{path} does not exist; train it first: edgekd distill {source} --role {role}{hint}")
        sources[role] = NetworkSource(path, pair_folder=folder, sizes=getattr(recipe.network, role))
    return sources
