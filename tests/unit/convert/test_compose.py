"""Joined graphs: names, and that simplifying, quantizing and TensorRT's parser leave the task's parts alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto

from edgekd.convert.compose import NETWORK_INPUT, NETWORK_OUTPUT, join
from edgekd.convert.export import ExportJob, run
from edgekd.convert.simplify import run as simplify
from edgekd.core.artifact import Artifact
from edgekd.core.config import ExportConfig, QuantizeConfig, SimplifyConfig
from edgekd.core.errors import BuildError
from edgekd.core.family import load, names
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import POSTPROCESS_PREFIX, PREPROCESS_PREFIX, is_pre_or_postprocessing, task_view
from edgekd.core.provenance import Provenance
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import infer_shapes
from edgekd.quantize.stage import run as quantize
from tests.unit.convert.task_networks import PHOTOGRAPHS, TaskNetwork, image_samples, options_of
from tests.unit.graph.networks import parse

SIZE = (64, 96)
TASKS = names("convert.preprocessing")
SAMPLES: Samples = image_samples(SIZE)


def graph(source: str, target: str, body: str = "") -> ModelProto:
    """Return a graph that multiplies by a weight, from and to the tensors of these names."""
    body = body or f"[mul] inner = Mul ({source}, w) [neg] {target} = Neg (inner)"
    return parse(f"g (float[2] {source}) => (float[2] {target}) <float[2] w = {{2, 3}}> {{ {body} }}")


def test_equal_names_of_the_three_graphs_stay_apart() -> None:
    joined = join(graph("x", NETWORK_INPUT), graph(NETWORK_INPUT, NETWORK_OUTPUT), graph(NETWORK_OUTPUT, "y"))
    onnx.checker.check_model(joined)
    pre, post = PREPROCESS_PREFIX, POSTPROCESS_PREFIX
    expected = [f"{pre}mul", f"{pre}neg", "mul", "neg", f"{post}mul", f"{post}neg"]
    assert [node.name for node in joined.graph.node] == expected
    assert {tensor.name for tensor in joined.graph.initializer} == {"w", f"{pre}w", f"{post}w"}
    found = run_onnx(joined, {"x": np.array([1, 10], np.float32)})["y"]
    assert found.tolist() == [-8, -270]


@pytest.mark.parametrize("name", ["x", "y"])
def test_an_inner_tensor_called_like_the_input_or_output_is_refused(name: str) -> None:
    body = f"{name} = Mul ({NETWORK_INPUT}, w) {NETWORK_OUTPUT} = Neg ({name})"
    network = graph(NETWORK_INPUT, NETWORK_OUTPUT, body)
    with pytest.raises(BuildError, match=f"inner tensor {name}"):
        join(graph("x", NETWORK_INPUT), network, graph(NETWORK_OUTPUT, "y"))


def test_the_given_graphs_are_left_as_they_are() -> None:
    parts = [graph("x", NETWORK_INPUT), graph(NETWORK_INPUT, NETWORK_OUTPUT), graph(NETWORK_OUTPUT, "y")]
    before = [part.SerializeToString() for part in parts]
    join(*parts)
    assert [part.SerializeToString() for part in parts] == before


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exported(task: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Export the task's network and simplify it, which merges nodes of the task's parts and renames them."""
    folder, options = tmp_path_factory.mktemp(task), options_of(task)
    channels = load("tasks", task).preprocess(np.zeros((*SIZE, 3), np.uint8), options).shape[0]
    job = ExportJob(
        made_by=Provenance("export", ("ab" * 32,)),
        config=ExportConfig(shape=(1, channels, *SIZE), exporter="torchscript", include_preprocessing=True),
        opset=17,
        samples=SAMPLES,
        network=NetworkInfo(task=task, task_options=options),
        out=folder / "exported.onnx",
    )
    made = simplify(run(TaskNetwork(task, SIZE).eval(), job), SimplifyConfig(), SAMPLES, folder / "simplified.onnx")
    assert made.facts["outcome"] == "simplified"
    return made


def quantized(scheme: str, given: Artifact, out: Path) -> Artifact:
    return quantize(given, scheme, QuantizeConfig(), SAMPLES, out)


def task_nodes(model: ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if is_pre_or_postprocessing(node.name)]


def graph_answers(artifact: Artifact, task: str) -> list[np.ndarray]:
    view = task_view(load("tasks", task), True)
    answers = []
    for index in range(len(PHOTOGRAPHS)):
        output = run_onnx(artifact.path, SAMPLES[index].feeds)["output"][0]
        answers.append(np.asarray(view.postprocess(output, options_of(task))))
    return answers


def numpy_and_torch_answers(task: str) -> list[np.ndarray]:
    """Return what the task's numpy code and the torch network make of the same images, without any graph."""
    member, network, options = load("tasks", task), TaskNetwork(task, SIZE).eval(), options_of(task)
    answers = []
    for index in range(len(PHOTOGRAPHS)):
        network_input = torch.from_numpy(member.preprocess(SAMPLES[index].feeds["input"][0], options))[None]
        with torch.no_grad():
            answers.append(member.postprocess(network(network_input)[0].numpy(), options))
    return answers


def test_a_simplified_graph_still_includes_preprocessing(exported: Artifact, task: str) -> None:
    assert exported.network is not None
    assert exported.network.includes_preprocessing
    assert exported.inputs[0].dtype == "uint8"
    for found, expected in zip(graph_answers(exported, task), numpy_and_torch_answers(task), strict=True):
        limit = 0.5 if expected.ndim == 2 else 1.001 / 255  # another label, or more than one grey level
        assert np.mean(np.abs(found - expected) > limit) <= 1e-3


def test_half_precision_stops_at_the_network(exported: Artifact, task: str, tmp_path: Path) -> None:
    made = quantized("fp16", exported, tmp_path / "fp16.onnx")
    model = infer_shapes(onnx.load(made.path))
    halves = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    halves |= {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    inside = task_nodes(model)
    assert halves
    assert inside
    assert not [node.name for node in inside for name in (*node.input, *node.output) if name in halves]
    # One cast into half before the network and one out of it; none between two of the task's own nodes.
    assert sum(node.name.startswith("edgekd_cast_") for node in model.graph.node) == 2
    for found, expected in zip(graph_answers(made, task), numpy_and_torch_answers(task), strict=True):
        limit = 0.5 if expected.ndim == 2 else 1.001 / 255
        assert np.mean(np.abs(found - expected) > limit) <= 5e-3


def test_int8_changes_the_networks_convolution_alone(exported: Artifact, tmp_path: Path) -> None:
    made = quantized("int8", exported, tmp_path / "int8.onnx")
    before, after = (onnx.load(artifact.path) for artifact in (exported, made))
    assert made.facts["quantized"]["operators"] == {"Conv": 1}
    kept = {node.name: node for node in task_nodes(after)}
    for node in (node for node in task_nodes(before) if node.op_type != "Constant"):
        assert kept[node.name].op_type == node.op_type
        assert len(kept[node.name].input) == len(node.input)
    assert made.facts["quantized"]["activations"] == 1


@pytest.mark.parametrize("scheme", ["fp16", "int8"])
def test_tensorrts_parser_takes_the_image(exported: Artifact, scheme: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed here; try: pip install 'edgekd[rtx]'")
    made = quantized(scheme, exported, tmp_path / "in.onnx")
    report = load("backends", "tensorrt_rtx").BACKEND.build(made.path, made.inputs, tmp_path / "out.engine")
    assert report.facts["convolutions"] == 1
    assert report.facts["warnings"] == []
