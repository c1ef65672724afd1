"""Every member of convert/preprocessing: equal to its task's numpy code, and made of operators that TensorRT takes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from edgekd.convert.export import ExportJob, run
from edgekd.core.artifact import Artifact
from edgekd.core.config import ExportConfig
from edgekd.core.family import load, names
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import graph_output, is_pre_or_postprocessing, task_view
from edgekd.core.provenance import Provenance
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import infer_shapes
from tests.unit.convert.task_networks import PHOTOGRAPHS, TaskNetwork, image_samples, options_of, photograph

SIZE = (64, 96)
# In TensorRT's ONNX parser since 8.6 at the latest. Neither Conv nor MatMul, which INT8 would change.
SUPPORTED = frozenset(
    "Add ArgMax AveragePool Cast Clip Concat Constant ConstantOfShape Div Equal Floor Gather Greater Less MaxPool Mul "
    "Neg Pad ReduceMin ReduceSum Reshape Shape Slice Softmax Sub TopK Transpose".split()
)


@dataclass
class Member:
    """A task's preprocessing, and a small network exported with it."""

    name: str
    folder: Path

    @property
    def task(self) -> ModuleType:
        return load("tasks", self.name)

    @property
    def module(self) -> ModuleType:
        return load("convert.preprocessing", self.name)

    @property
    def options(self) -> dict[str, Any]:
        return options_of(self.name)

    @property
    def network(self) -> TaskNetwork:
        return TaskNetwork(self.name, SIZE).eval()

    def network_output(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 → what numpy and torch give, without batch axis."""
        network_input = torch.from_numpy(self.task.preprocess(image, self.options))[None]
        with torch.no_grad():
            output: NDArray[np.float32] = self.network(network_input)[0].numpy()
        return output

    @cached_property
    def exported(self) -> Artifact:
        shape = (1, *self.task.preprocess(photograph(PHOTOGRAPHS[0], SIZE), self.options).shape)
        job = ExportJob(
            made_by=Provenance("export", ("ab" * 32,)),
            config=ExportConfig(shape=shape, exporter="torchscript", include_preprocessing=True),
            opset=17,
            samples=image_samples(SIZE),
            network=NetworkInfo(task=self.name, task_options=self.options),
            out=self.folder / "exported.onnx",
        )
        return run(self.network, job)


def check_names(member: Member) -> None:
    assert member.module.TOLERANCE >= 0
    assert issubclass(member.module.Preprocess, torch.nn.Module)
    assert issubclass(member.module.Postprocess, torch.nn.Module)
    assert member.name in names("tasks")


def check_preprocess_equals_the_tasks(member: Member) -> None:
    module = member.module.Preprocess(member.options, SIZE).eval()
    for name in PHOTOGRAPHS:
        image = photograph(name, SIZE)
        found = module(torch.from_numpy(image)[None])
        assert found.dtype == torch.float32
        expected = member.task.preprocess(image, member.options)[None]
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=member.module.TOLERANCE)


def check_postprocess_equals_the_tasks(member: Member) -> None:
    shape = member.network_output(photograph(PHOTOGRAPHS[0], SIZE)).shape
    output = np.random.default_rng(3).normal(0.2, 0.7, shape).astype(np.float32)
    found = member.module.Postprocess(member.options).eval()(torch.from_numpy(output)[None])[0].numpy()
    postprocessed = np.asarray(member.task.postprocess(output, member.options))
    expected = graph_output(member.task, postprocessed, member.options)
    assert found.dtype == expected.dtype
    if found.dtype == np.uint8:
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.mean(found != expected) <= 1e-4
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def check_graph_equals_numpy_and_torch(member: Member) -> None:
    view = task_view(member.task, True)
    for name in PHOTOGRAPHS:
        image = photograph(name, SIZE)
        output = run_onnx(member.exported.path, {"input": image[None]})["output"][0]
        found = view.postprocess(output, member.options)
        expected = member.task.postprocess(member.network_output(image), member.options)
        assert found.dtype == expected.dtype
        if expected.ndim == 2:  # labels
            assert np.mean(found != expected) <= 1e-3
        elif expected.ndim == 1:  # probabilities
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:  # half a grey level of rounding, and a whole one on a few values that were about to be rounded up
            assert np.abs(found - expected).max() <= 1.001 / 255
            assert np.mean(np.abs(found - expected) > 0.501 / 255) <= 1e-3


def check_operators_are_supported_by_tensorrt(member: Member) -> None:
    model = infer_shapes(onnx.load(member.exported.path))
    nodes = [node for node in model.graph.node if is_pre_or_postprocessing(node.name)]
    assert len(nodes) >= 4
    assert {node.op_type for node in nodes} <= SUPPORTED
    # uint8 is cast by the first node and, where the output is uint8, made of floats by the last one.
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.input)}
    readers = [node.op_type for node in model.graph.node for name in node.input if types.get(name) == TensorProto.UINT8]
    assert readers == ["Cast"]
    if member.exported.outputs[0].dtype == "uint8":
        last = next(node for node in model.graph.node if "output" in node.output)
        assert (last.op_type, types[last.input[0]]) == ("Cast", TensorProto.FLOAT)


CONTRACT = (
    check_names,
    check_preprocess_equals_the_tasks,
    check_postprocess_equals_the_tasks,
    check_graph_equals_numpy_and_torch,
    check_operators_are_supported_by_tensorrt,
)


@pytest.fixture(scope="module", params=names("convert.preprocessing"))
def member(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Member:
    return Member(request.param, tmp_path_factory.mktemp(request.param))


def test_every_task_has_its_preprocessing() -> None:
    assert names("tasks") == names("convert.preprocessing")


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_member(member: Member, check: Callable[[Member], None]) -> None:
    check(member)


NEW_FILES = {
    "edgekd.tasks": '''
"""Negatives: an image to its negative."""
import numpy as np

METRICS, PRIMARY, CRITERION, LAYOUT = ("closeness",), "closeness", "l1", "hr_patches"

def fit(image, target, size, options):
    return image, target

def preprocess(image, options):
    return np.ascontiguousarray((255 - image.transpose(2, 0, 1).astype(np.float32)) / np.float32(255))

def postprocess(output, options):
    return np.clip(output.transpose(1, 2, 0), 0, 1)

def picture(output, options):
    return np.floor(output.astype(np.float64) * 255 + 0.5).astype(np.uint8)

def metric(output, target, options):
    return {"closeness": -float(np.abs(output - target / 255).mean())}
''',
    "edgekd.convert.preprocessing": '''
"""Negatives in the graph."""
from torch import nn
from edgekd.convert.pixels import channels_from_image, image_from_channels

TOLERANCE = 1e-6

class Preprocess(nn.Module):
    def __init__(self, options, size):
        super().__init__()

    def forward(self, image):
        return (255.0 - channels_from_image(image)) / 255.0

class Postprocess(nn.Module):
    def __init__(self, options):
        super().__init__()

    def forward(self, output):
        return image_from_channels(output)
''',
}


@pytest.fixture
def new_member(tmp_path: Path) -> Iterator[Member]:
    """Add a task and its preprocessing, each one file outside of edgekd."""
    for package, text in NEW_FILES.items():
        folder = tmp_path / package
        folder.mkdir()
        (folder / "negatives.py").write_text(text, encoding="utf-8")
        # In place: the import system and ``family.names`` both hold this list.
        importlib.import_module(package).__path__.append(str(folder))
    yield Member("negatives", tmp_path)
    for package in NEW_FILES:
        importlib.import_module(package).__path__.remove(str(tmp_path / package))
        sys.modules.pop(f"{package}.negatives", None)


def test_a_new_member_is_one_new_file(new_member: Member) -> None:
    assert new_member.name in names("convert.preprocessing")
    for check in CONTRACT:
        check(new_member)
