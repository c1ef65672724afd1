"""Exporting: which shapes, which samples, the same numbers as torch, and what the file and its manifest record."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgekd.convert.export import DEFAULT_OPSET, ExportJob, run
from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.config import ExportConfig
from edgekd.core.errors import InputError, ParityError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import is_pre_or_postprocessing
from edgekd.core.provenance import Provenance
from edgekd.core.samples import Samples
from edgekd.graph.cost import cost_of
from edgekd.graph.evaluate import run_onnx

CHECKPOINT = "ab" * 32


class Net(nn.Module):
    """Two outputs, one of them enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.conv(x))
        return self.shuffle(y), y.mean(dim=(2, 3))


class Chooser(nn.Module):
    """Control flow on values: the TorchScript exporter follows the path that its example takes."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x - 3


class Doubler(nn.Module):
    """Enlarges by two, off by a share of each value, so that many bytes are about to be rounded."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x * 1.003, scale_factor=2.0)


def job(out: Path, **changes) -> ExportJob:
    config = ExportConfig(**{"shape": (1, 3, 8, 8), "exporter": "torchscript", **changes.pop("config", {})})
    given = ExportJob(Provenance("export", (CHECKPOINT,)), config, 17, None, NetworkInfo(), out)
    return dataclasses.replace(given, **changes)


def image_job(out: Path, **changes) -> ExportJob:
    config = {"shape": (1, 3, 8, 12), "include_preprocessing": True, **changes.pop("config", {})}
    network = NetworkInfo(task="super_resolution", task_options={"scale": 2})
    return job(out, **{"config": config, "network": network, **changes})


def constant(value: float, *shape: int) -> Samples:
    return Samples.of({"input": np.full((1, *shape), value, np.float32)}, "samples of the test")


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def opset_of(made: Artifact) -> int:
    return int(onnx.load(made.path).opset_import[0].version)


@pytest.mark.parametrize(
    ("exporter", "opset"), [("dynamo", 20), ("dynamo", 19), ("torchscript", 13), ("torchscript", 17)]
)
def test_both_exporters_give_the_opset_and_the_numbers(
    net: nn.Module, tmp_path: Path, exporter: str, opset: int, capfd
) -> None:
    made = run(net, job(tmp_path / "x.onnx", config={"exporter": exporter}, opset=opset))
    assert capfd.readouterr() == ("", "")
    assert (made.facts["exporter"], made.facts["opset"], opset_of(made)) == (exporter, opset, opset)
    assert [str(s) for s in (*made.inputs, *made.outputs)] == [
        "input 1x3x8x8 float32",
        "output 1x1x16x16 float32",
        "output.1 1x4 float32",
    ]
    x = torch.rand(1, 3, 8, 8)
    found = run_onnx(made.path, {"input": x.numpy()})
    for name, expected in zip(("output", "output.1"), net(x), strict=True):
        np.testing.assert_allclose(found[name], expected.detach().numpy(), atol=1e-5)
    assert set(made.facts["parity"]) == {"output", "output.1"}


@pytest.mark.parametrize(("asked", "configured", "written"), [(13, 15, 13), (0, 15, 15), (0, 0, DEFAULT_OPSET)])
def test_the_jobs_opset_comes_before_the_recipes(
    net: nn.Module, tmp_path: Path, asked: int, configured: int, written: int
) -> None:
    made = run(net, job(tmp_path / "x.onnx", config={"opset": configured}, opset=asked))
    assert opset_of(made) == made.facts["opset"] == written


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_named_dims_have_ranges_and_hold_at_their_ends(net: nn.Module, tmp_path: Path, exporter: str) -> None:
    config = {
        "shape": ("n", 3, "h", "w"),
        "ranges": {"n": (1, 1, 2), "h": (4, 8, 16), "w": (4, 8, 12)},
        "exporter": exporter,
    }
    made = run(net, job(tmp_path / "x.onnx", config=config, opset=18))
    assert [made.inputs[0].at(which) for which in ("min", "opt", "max")] == [(1, 3, 4, 4), (1, 3, 8, 8), (2, 3, 16, 12)]
    assert run_onnx(made.path, {"input": np.zeros((2, 3, 5, 7), np.float32)})["output"].shape == (2, 1, 10, 14)


def test_the_manifest_has_the_network(net: nn.Module, tmp_path: Path) -> None:
    network = NetworkInfo("student", "a_from_b", "super_resolution", {"scale": 2})
    made = run(net, job(tmp_path / "x.onnx", network=network))
    cost = dataclasses.asdict(cost_of(onnx.load(made.path)))
    assert made.network == dataclasses.replace(network, cost=cost)
    assert cost["macs"] == 8 * 8 * 4 * 27
    assert made.made_by == Provenance("export", (CHECKPOINT,))
    assert read_artifact(made.path) == made


def test_the_file_names_its_origin_and_nothing_of_this_machine(net: nn.Module, tmp_path: Path) -> None:
    given = {
        "network": NetworkInfo("student", "a_from_b", "super_resolution", {"scale": 2, "a": "b"}),
        "architecture": "cd" * 32,
        "config": {"exporter": "dynamo"},
        "opset": 18,
    }
    made = run(net, job(tmp_path / "x.onnx", **given))
    model = onnx.load(made.path)
    props = {prop.key.removeprefix("edgekd."): prop.value for prop in model.metadata_props}
    assert float(props.pop("parity")) <= 1e-4
    assert props.pop("version")
    assert props == {
        "title": "a_from_b",
        "role": "student",
        "network": "cd" * 32,
        "task": "super_resolution",
        "task_options": '{"a": "b", "scale": 2}',
        "source_sha256": CHECKPOINT,
        "exporter": "dynamo",
    }
    assert model.producer_name == "edgekd"
    assert str(Path(__file__).parent).encode() not in made.path.read_bytes()
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    again = run(net, job(tmp_path / "y.onnx", **given))
    assert again.sha256 == made.sha256


def test_a_network_without_a_task_has_no_task_in_its_file(net: nn.Module, tmp_path: Path) -> None:
    made = run(net, job(tmp_path / "x.onnx"))
    keys = {prop.key for prop in onnx.load(made.path).metadata_props}
    assert not keys & {"edgekd.task", "edgekd.task_options", "edgekd.includes_preprocessing"}


class Nested(nn.Module):
    """Outputs in a dict of a tuple and a list."""

    def forward(self, x: Tensor) -> dict[str, object]:
        return {"a": (x + 1, [x + 2]), "b": x + 3}


class Many(nn.Module):
    """More outputs than one digit counts."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x + index for index in range(12))


@pytest.mark.parametrize(("network", "count"), [(Nested(), 3), (Many(), 12)])
def test_outputs_are_named_in_the_modules_order(network: nn.Module, count: int, tmp_path: Path) -> None:
    made = run(network.eval(), job(tmp_path / "x.onnx"))
    names = ["output", *(f"output.{index}" for index in range(1, count))]
    assert [spec.name for spec in made.outputs] == names
    found = run_onnx(made.path, {"input": np.zeros((1, 3, 8, 8), np.float32)})
    first = 0 if count == 12 else 1
    assert [found[name].flat[0] for name in names] == list(range(first, first + count))


class Words(nn.Module):
    """No tensor comes out."""

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return x, "done"


def test_an_output_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="str"):
        run(Words().eval(), job(tmp_path / "x.onnx"))


def test_parity_is_checked_on_the_samples(tmp_path: Path) -> None:
    # The path taken on the exporter's example is not the one that these samples take.
    with pytest.raises(ParityError, match="'output'") as caught:
        run(Chooser().eval(), job(tmp_path / "x.onnx", samples=constant(-1, 1, 3, 8, 8)))
    assert "0.0001" in str(caught.value)
    assert not (tmp_path / "x.onnx").exists()
    made = run(Chooser().eval(), job(tmp_path / "x.onnx", samples=constant(1, 1, 3, 8, 8)))
    assert made.facts["parity_on"] == "samples of the test"


def test_without_samples_parity_is_checked_on_random_numbers(net: nn.Module, tmp_path: Path) -> None:
    assert run(net, job(tmp_path / "x.onnx")).facts["parity_on"].startswith("synthetic")


class CountingSamples(Samples):
    """Remembers which samples were read."""

    __slots__ = ()
    read: ClassVar[list[int]] = []

    def __getitem__(self, index: int):
        self.read.append(index)
        return Samples.__getitem__(self, index)


def test_only_the_samples_that_are_compared_are_read(net: nn.Module, tmp_path: Path) -> None:
    arrays = np.random.default_rng(0).random((20, 1, 3, 8, 8), np.float32)
    samples = CountingSamples(Samples.of({"input": arrays}, "many").samples, "many")
    run(net, job(tmp_path / "x.onnx", samples=samples))
    assert set(CountingSamples.read) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"shape": (1, 5, 8, 8)}, "[1, 5, 8, 8]"),
        ({"shape": (1, 3, "h", 8)}, "min/opt/max"),
        ({"ranges": {"w": (1, 2, 3)}}, "names w"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(net: nn.Module, tmp_path: Path, config, found: str) -> None:
    with pytest.raises(InputError) as caught:
        run(net, job(tmp_path / "x.onnx", config=config))
    assert found in str(caught.value)


@pytest.mark.parametrize(
    "samples", [constant(0, 1, 3, 9, 9), Samples.of({"input": np.zeros((1, 1, 3, 8, 8), np.int64)}, "whole numbers")]
)
def test_samples_that_do_not_fit_are_named(net: nn.Module, tmp_path: Path, samples: Samples) -> None:
    array = samples[0].feeds["input"]
    with pytest.raises(InputError) as caught:
        run(net, job(tmp_path / "x.onnx", samples=samples))
    assert f"input {list(array.shape)} {array.dtype}" in str(caught.value)


@pytest.mark.parametrize(("exporter", "opset"), [("dynamo", 20), ("torchscript", 13)])
def test_images_go_in_and_come_out(tmp_path: Path, exporter: str, opset: int, capfd) -> None:
    made = run(Doubler().eval(), image_job(tmp_path / "x.onnx", config={"exporter": exporter}, opset=opset))
    assert capfd.readouterr() == ("", "")
    assert (made.facts["exporter"], opset_of(made)) == (exporter, opset)
    assert [str(s) for s in (*made.inputs, *made.outputs)] == ["input 1x8x12x3 uint8", "output 1x16x24x3 uint8"]
    assert made.network is not None
    assert made.network.includes_preprocessing
    props = {prop.key: prop.value for prop in onnx.load(made.path).metadata_props}
    assert props["edgekd.includes_preprocessing"] == "true"
    assert 0 <= made.facts["parity"]["output"]["changed_share"] <= 0.01
    image = np.arange(288, dtype=np.uint16).astype(np.uint8).reshape(1, 8, 12, 3)
    found = run_onnx(made.path, {"input": image})["output"]
    expected = np.minimum(np.floor(image * 1.003 + 0.5), 255).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) <= 0.01


def test_the_networks_own_nodes_keep_their_names(tmp_path: Path) -> None:
    plain = run(Doubler().eval(), image_job(tmp_path / "plain.onnx", config={"include_preprocessing": False}))
    whole = run(Doubler().eval(), image_job(tmp_path / "x.onnx"))
    graph, inner = onnx.load(whole.path).graph, onnx.load(plain.path).graph
    assert [n.name for n in graph.node if not is_pre_or_postprocessing(n.name)] == [n.name for n in inner.node]
    assert [n.op_type for n in graph.node if "input" in n.input] == ["Cast"]
    assert [n.op_type for n in graph.node if "output" in n.output] == ["Cast"]


def test_parity_is_that_of_the_tasks_numpy_code(tmp_path: Path, monkeypatch) -> None:
    def halved(image, options):
        return (image.transpose(2, 0, 1) / 510).astype(np.float32)

    monkeypatch.setattr("edgekd.tasks.super_resolution.preprocess", halved)
    with pytest.raises(ParityError, match=r"\d+\.\d+% of the values of 'output'"):
        run(Doubler().eval(), image_job(tmp_path / "x.onnx"))
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("network", "changes", "found"),
    [
        (Doubler(), {"network": NetworkInfo()}, "without a task"),
        (Doubler(), {"config": {"shape": (1, 4, 8, 12)}}, "[1, 3, 8, 12]"),
        (Doubler(), {"config": {"shape": (1, 3, "h", 12)}}, "'h'"),
        (Net(), {}, "2 outputs"),
    ],
)
def test_what_cannot_include_its_preprocessing_is_refused(
    network: nn.Module, changes, found: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        run(network.eval(), image_job(tmp_path / "x.onnx", **changes))
    assert found in str(caught.value)


def test_images_are_expected_where_preprocessing_is_included(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[1, 8, 12, 3\] float32.*1x8x12x3 uint8"):
        run(Doubler().eval(), image_job(tmp_path / "x.onnx", samples=constant(0, 1, 8, 12, 3)))
