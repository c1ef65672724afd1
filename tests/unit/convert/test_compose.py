"""Embedded graphs: what operators they hold, and that quantizers and TensorRT's parser leave them be."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor, nn

from edgekd.convert.export import Job, run
from edgekd.convert.simplify import run as simplify
from edgekd.core.artifact import Artifact
from edgekd.core.config import ExportConfig, QuantizeConfig, SimplifyConfig
from edgekd.core.family import load
from edgekd.core.preprocessing import task_view
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import infer_shapes
from tests.unit.convert.test_preprocessing import OPTIONS, PHOTOGRAPHS, photograph

SIZE = (64, 96)
# In TensorRT's ONNX parser since 8.6 at the latest; neither Conv nor MatMul, which INT8 would change.
TAKEN = frozenset(
    "Add ArgMax AveragePool Cast Clip Concat Constant ConstantOfShape Div Equal Floor Gather Greater Less MaxPool Mul "
    "Neg Pad ReduceMin ReduceSum Reshape Shape Slice Softmax Sub TopK Transpose".split()
)
CHANNELS = {"dehazing": 4}


class Net(nn.Module):
    """A convolution, and what each task wants of it: three channels, logits of a picture, or of each pixel."""

    def __init__(self, task: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        out = {"super_resolution": 12, "dehazing": 3, "classification": 7, "segmentation": 7}[task]
        self.task, self.conv = task, nn.Conv2d(CHANNELS.get(task, 3), out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        if self.task == "classification":
            return 5 * y.mean(dim=(2, 3))
        return nn.functional.pixel_shuffle(y, 2) if self.task == "super_resolution" else torch.tanh(y)


@cache
def pictures() -> Samples:
    feeds = np.stack([photograph(name, SIZE)[None] for name in (*PHOTOGRAPHS, *PHOTOGRAPHS)])
    return Samples({"input": feeds}, tuple(map(str, range(len(feeds)))), "photographs of edgekd")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, Artifact]:
    """Each task's network, exported; dehazing's simplified, too, which merges nodes of its ends and renames them."""
    made = {}
    for task, options in OPTIONS.items():
        folder = tmp_path_factory.mktemp(task)
        shape = (1, CHANNELS.get(task, 3), *SIZE)
        config = ExportConfig(shape=shape, exporter="torchscript", embed_preprocess=True)
        metadata = {"task": task, "task_options": json.dumps(options)}
        export = Job("ab" * 32, config, 17, pictures(), metadata, folder / "exported.onnx")
        made[task] = run(Net(task).eval(), export)
    made["dehazing"] = simplify(made["dehazing"], SimplifyConfig(), pictures(), folder / "simplified.onnx")
    return made


def scheme(name: str, onnx_artifact: Artifact, out: Path) -> Artifact:
    made: Artifact = load("quantize.schemes", name).quantize(onnx_artifact, QuantizeConfig(), pictures(), out)
    return made


def embedded_nodes(model: ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.name.startswith("embedded_")]


def answers(artifact: Artifact, task: str) -> list[np.ndarray]:
    view = task_view(load("tasks", task), True)
    outputs = (run_onnx(artifact.path, pictures().feeds(index))["output"][0] for index in range(len(PHOTOGRAPHS)))
    return [np.asarray(view.postprocess(output, OPTIONS[task])) for output in outputs]


def plain_answers(task: str) -> list[np.ndarray]:
    """What numpy and torch make of the same pictures without any graph."""
    member, net = load("tasks", task), Net(task).eval()
    seen = (member.preprocess(picture[0], OPTIONS[task]) for picture in pictures().inputs["input"][: len(PHOTOGRAPHS)])
    with torch.no_grad():
        return [member.postprocess(net(torch.from_numpy(x)[None])[0].numpy(), OPTIONS[task]) for x in seen]


@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_the_graph_answers_as_numpy_and_torch_do(exported, task: str) -> None:
    for found, expected in zip(answers(exported[task], task), plain_answers(task), strict=True):
        assert found.dtype == expected.dtype
        if task == "segmentation":
            assert np.mean(found != expected) <= 1e-3
        elif task == "classification":
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:  # half a grey level of rounding, and one more on a few values that were about to be rounded up
            assert np.abs(found - expected).max() <= 1.001 / 255
            assert np.mean(np.abs(found - expected) > 0.501 / 255) <= 1e-3


@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_operators_are_those_that_tensorrt_takes(exported, task: str) -> None:
    nodes = embedded_nodes(onnx.load(exported[task].path))
    assert len(nodes) >= 4
    assert {node.op_type for node in nodes} <= TAKEN
    # uint8 is cast at once, and made of floats.
    model = infer_shapes(onnx.load(exported[task].path))
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.input)}
    readers = [node.op_type for node in model.graph.node for name in node.input if types.get(name) == TensorProto.UINT8]
    assert readers == ["Cast"]
    if task != "classification":
        last = next(node for node in model.graph.node if "output" in node.output)
        assert (last.op_type, types[last.input[0]]) == ("Cast", TensorProto.FLOAT)


@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_half_precision_stops_at_the_network(exported, task: str, tmp_path: Path) -> None:
    made = scheme("fp16", exported[task], tmp_path / "fp16.onnx")
    model = infer_shapes(onnx.load(made.path))
    halves = {v.name for v in model.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    halves |= {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    inside = embedded_nodes(model)
    assert halves
    assert inside
    assert not [node.name for node in inside for name in (*node.input, *node.output) if name in halves]
    # One cast into half before the network and one out of it; none between two embedded nodes.
    assert sum(node.name.startswith("edgekd_cast_") for node in model.graph.node) == 2
    assert "of them embedded" in made.facts["summary"]
    for found, expected in zip(answers(made, task), plain_answers(task), strict=True):
        assert np.mean(np.abs(found - expected) > (0.5 if task == "segmentation" else 1.001 / 255)) <= 5e-3


@pytest.mark.parametrize("task", sorted(OPTIONS))
def test_int8_changes_the_networks_convolution_alone(exported, task: str, tmp_path: Path) -> None:
    made = scheme("int8", exported[task], tmp_path / "int8.onnx")
    before, after = (onnx.load(artifact.path) for artifact in (exported[task], made))
    assert made.facts["quantized"]["operators"] == {"Conv": 1}
    kept = {node.name: node for node in embedded_nodes(after)}
    for node in (node for node in embedded_nodes(before) if node.op_type != "Constant"):
        assert kept[node.name].op_type == node.op_type
        assert len(kept[node.name].input) == len(node.input)
    assert made.facts["quantized"]["activations"] == 1


@pytest.mark.parametrize("task", ["dehazing", "segmentation"])
@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_tensorrts_parser_takes_the_picture(exported, task: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed here; try: pip install 'edgekd[rtx]'")
    made = scheme(name, exported[task], tmp_path / "in.onnx")
    report = load("backends", "tensorrt_rtx").BACKEND.build(made.path, made.inputs, tmp_path / "out.engine")
    assert report.facts["convolutions"] == 1
    assert report.facts["warnings"] == []
