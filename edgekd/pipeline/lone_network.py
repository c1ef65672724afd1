"""One network of the user's own: what its source says is read once, before any stage runs, and completes the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekd import __version__
from edgekd.core import family
from edgekd.core.artifact import Artifact, current, publish
from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract
from edgekd.core.network_info import NetworkInfo
from edgekd.core.protocols import Labels
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.schema import parse, to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline.job import Job, NetworkSource

_FILE = "source.json"


def completed(job: Job, role: str) -> Job:
    """Return the job of a lone checkpoint with what ``--model`` knows of its network: size, input contract, classes.

    The network is built and run once to find that out, and not again while its code and the library's version are the
    same.

    Raises:
        InputError: There is no such network, it does not run, or nobody says the size of its input.
    """
    source, given = job.sources[role], job.recipe.input
    shape = job.recipe.export.shape if job.has_shape else None
    digest = digest_of([source.model, source.architecture, to_plain(given), shape])
    made_by = Provenance("inspect", (), digest, {"edgekd": __version__})
    path = job.out / role / _FILE
    facts = (current(path, made_by) or _inspect(job, source, path, made_by)).facts
    contract = replace(parse(InputContract, facts["input"], "input"), size=None)  # the shape has it
    export = replace(job.recipe.export, shape=tuple(facts["shape"]))
    job = replace(job, recipe=replace(job.recipe, input=contract, export=export))
    if not _has_classes(job.task) or "classes" in job.recipe.task:
        return job
    classes = list(facts["classes"]) or _classes(job, [tuple(output) for output in facts["outputs"]])
    return replace(job, recipe=replace(job.recipe, task={**job.recipe.task, "classes": classes})) if classes else job


def network_of(job: Job, role: str) -> NetworkInfo:
    """Describe a network before it is imported or exported."""
    return NetworkInfo(role, job.title, job.task, dict(job.recipe.task))


def with_classes(job: Job, network: NetworkInfo, outputs: Sequence[TensorSpec]) -> NetworkInfo:
    """Return an imported network with as many classes as its output has, where nobody named them."""
    if not _has_classes(network.task) or "classes" in network.task_options:
        return network
    classes = _classes(job, [output.shape for output in outputs])
    return replace(network, task_options={**network.task_options, "classes": classes}) if classes else network


def _classes(job: Job, outputs: Sequence[Sequence[Any]]) -> list[str] | int:
    """Return the names of the evaluation's class folders if there are as many as outputs, else the number of outputs.

    0 where the network does not have one output of a known number of classes.
    """
    if len(outputs) != 1 or not outputs[0] or not isinstance(outputs[0][-1], int):
        return 0
    count = outputs[0][-1]
    if job.evaluation is None:
        return count
    root = evaluation_root(job)
    folders = (
        sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".") if root.is_dir() else []
    )
    return folders if len(folders) == count else count


def evaluation_root(job: Job) -> Path:
    """Return the folder of the evaluation's own parts: FOLDER/val where there is one, FOLDER itself where not."""
    assert job.evaluation is not None
    options = evaluation_options(job)
    return job.evaluation / str(options.get("validation", "val"))


def evaluation_options(job: Job) -> dict[str, Any]:
    """Return the layout's options for the user's evaluation folder, which may have no ``val`` folder in it."""
    options: dict[str, Any] = dict(job.recipe.data.options)
    layout = family.load("datasets.layouts", job.recipe.data.layout)
    default = getattr(layout.Config(), "validation", None)
    named = options.get("validation", default)
    if job.is_lone and job.evaluation is not None and named and not (job.evaluation / str(named)).is_dir():
        options["validation"] = "."
    return options


def assumption(network: NetworkInfo) -> str:
    """Return what the user must know of how images are fed; "" where nothing was assumed."""
    if network.input is None or not network.input_assumed:
        return ""
    return (
        f"the input of {network.title} is assumed, not known: {', '.join(network.input_assumed)}; images are fed as "
        f"{network.input}. INT8 and accuracy depend on it: give --mean, --std, --scale, --channels and --resize, or "
        "[input]"
    )


def _inspect(job: Job, source: NetworkSource, path: Path, made_by: Provenance) -> Artifact:
    """Build the network, run it on zeros, and keep what is known of it."""
    found = family.load_module("edgekd.networks.model_source").build_model(str(source.model))
    contract: InputContract = job.recipe.input.or_else(found.input)
    shape = job.recipe.export.shape
    if not job.has_shape:
        if contract.size is None:
            raise InputError(
                f"nothing says the size of the input of {job.title}; give --input-size HEIGHTxWIDTH, such as 224x224"
            )
        shape = (1, 1 if contract.channels == "gray" else 3, *contract.size)
    outputs = family.load_module("edgekd.convert.export").output_shapes(found.module, shape)
    facts: Mapping[str, Any] = {
        "input": to_plain(contract),
        "classes": list(found.classes),
        "shape": list(shape),
        "outputs": [list(output) for output in outputs],
    }
    return publish(Artifact("report", path, made_by=made_by, facts=facts), f"{contract}\n")


def _has_classes(task: str) -> bool:
    return bool(task) and isinstance(family.load("tasks", task), Labels)
