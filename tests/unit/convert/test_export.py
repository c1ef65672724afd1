"""Exporting: which exporter, which opset, which shapes, and the same numbers as torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgekd.convert.export import Job, run
from edgekd.core import provenance
from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.config import ExportConfig
from edgekd.core.errors import BuildError, InputError, ParityError
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import run_onnx


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
    """Control flow on values: the dynamo exporter refuses it, the older one follows the path it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x - 3


def job(out: Path, **changes) -> Job:
    config = ExportConfig(**{"shape": (1, 3, 8, 8), "exporter": "torchscript", **changes.pop("config", {})})
    return Job(
        **{
            "checkpoint_sha256": "ab" * 32,
            "config": config,
            "opset": 17,
            "samples": None,
            "metadata": {},
            "out": out,
            **changes,
        }
    )


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
    assert made.facts["cost"]["macs"] == 8 * 8 * 4 * 27


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


def test_auto_falls_back_and_says_why(tmp_path: Path) -> None:
    made = run(Chooser().eval(), job(tmp_path / "x.onnx", config={"exporter": "auto"}))
    assert made.facts["exporter"] == "torchscript"
    assert made.facts["fallback_reason"].startswith("dynamo: ")
    assert "\n" not in made.facts["fallback_reason"]
    with pytest.raises(BuildError, match="dynamo: "):
        run(Chooser().eval(), job(tmp_path / "y.onnx", config={"exporter": "dynamo"}))
    assert not (tmp_path / "y.onnx").exists()


def test_the_file_says_where_it_is_from_and_nothing_of_this_machine(net: nn.Module, tmp_path: Path) -> None:
    metadata = {"pair": "a_from_b", "role": "student", "task": "none"}
    made = run(net, job(tmp_path / "x.onnx", metadata=metadata, config={"exporter": "dynamo"}, opset=18))
    model = onnx.load(made.path)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props.keys() == {f"edgekd.{k}" for k in (*metadata, "version", "source_sha256", "exporter", "parity")}
    assert props["edgekd.source_sha256"] == "ab" * 32
    assert model.producer_name == "edgekd"
    assert str(Path(__file__).parent).encode() not in made.path.read_bytes()
    assert read_artifact(made.path) == made
    config = ExportConfig(shape=(1, 3, 8, 8), exporter="dynamo")
    assert made.made_by == provenance.export("ab" * 32, config, 18, metadata)
    again = run(net, job(tmp_path / "y.onnx", metadata=metadata, config={"exporter": "dynamo"}, opset=18))
    assert again.sha256 == made.sha256


def test_parity_is_proven_on_the_samples(tmp_path: Path) -> None:
    # The path taken on the example is not the one these samples take.
    samples = Samples({"input": np.full((1, 1, 3, 8, 8), -1, np.float32)}, ("dark",), "dark pictures")
    with pytest.raises(ParityError, match=r"moved 'output' by .* at most 0.0001"):
        run(Chooser().eval(), job(tmp_path / "x.onnx", samples=samples))
    assert not (tmp_path / "x.onnx").exists()


def test_input_that_does_not_fit_is_named(net: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not run on input \[1, 5, 8, 8\]"):
        run(net, job(tmp_path / "x.onnx", config={"shape": (1, 5, 8, 8)}))
    with pytest.raises(InputError, match="no min/opt/max"):
        run(net, job(tmp_path / "x.onnx", config={"shape": (1, 3, "h", 8)}))
    with pytest.raises(InputError, match=r"ranges names w"):
        run(net, job(tmp_path / "x.onnx", config={"ranges": {"w": (1, 2, 3)}}))
    samples = Samples({"input": np.zeros((1, 1, 3, 9, 9), np.float32)}, ("a",), "real")
    with pytest.raises(InputError, match=r"samples hold input \[1, 3, 9, 9\] float32"):
        run(net, job(tmp_path / "x.onnx", samples=samples))


class Doubler(nn.Module):
    """Enlarges by two, off by a share of each value, so that many bytes are about to be rounded."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x * 1.003, scale_factor=2.0)


def picture_job(out: Path, **changes) -> Job:
    config = {"shape": (1, 3, 8, 12), "embed_preprocess": True, **changes.pop("config", {})}
    metadata = {"task": "super_resolution", "task_options": '{"scale": 2}'}
    return job(out, **{"config": config, "metadata": metadata, **changes})


@pytest.mark.parametrize(("exporter", "opset"), [("dynamo", 20), ("torchscript", 13)])
def test_pictures_go_in_and_come_out(tmp_path: Path, exporter: str, opset: int, capfd) -> None:
    made = run(Doubler().eval(), picture_job(tmp_path / "x.onnx", config={"exporter": exporter}, opset=opset))
    assert capfd.readouterr() == ("", "")
    assert (made.facts["exporter"], opset_of(made)) == (exporter, opset)
    assert [str(s) for s in (*made.inputs, *made.outputs)] == ["input 1x8x12x3 uint8", "output 1x16x24x3 uint8"]
    assert made.facts["network"] == {
        "task": "super_resolution",
        "task_options": '{"scale": 2}',
        "embedded": True,
    }
    assert "edgekd.embedded" in {prop.key for prop in onnx.load(made.path).metadata_props}
    assert 0 <= made.facts["parity"]["output"]["moved_share"] <= 0.01
    picture = np.arange(288, dtype=np.uint16).astype(np.uint8).reshape(1, 8, 12, 3)
    found = run_onnx(made.path, {"input": picture})["output"]
    expected = np.minimum(np.floor(picture * 1.003 + 0.5), 255).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) <= 0.01


def test_the_nodes_around_the_network_are_named_and_uint8_is_cast_at_once(tmp_path: Path) -> None:
    plain = run(Doubler().eval(), picture_job(tmp_path / "plain.onnx", config={"embed_preprocess": False}))
    whole = run(Doubler().eval(), picture_job(tmp_path / "x.onnx"))
    graph, inner = onnx.load(whole.path).graph, onnx.load(plain.path).graph
    assert [n.name for n in graph.node if not n.name.startswith("embedded_")] == [n.name for n in inner.node]
    assert [n.op_type for n in graph.node if "input" in n.input] == ["Cast"]
    assert [n.op_type for n in graph.node if "output" in n.output] == ["Cast"]


def test_parity_is_that_of_the_tasks_numpy_code(tmp_path: Path, monkeypatch) -> None:
    def halved(picture, options):
        return (picture.transpose(2, 0, 1) / 510).astype(np.float32)

    monkeypatch.setattr("edgekd.tasks.super_resolution.preprocess", halved)
    with pytest.raises(ParityError, match=r"moved \d+.\d+% of the values of 'output', by up to \d+; at most 1%"):
        run(Doubler().eval(), picture_job(tmp_path / "x.onnx"))
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("net", "changes", "words"),
    [
        (Doubler(), {"metadata": {}}, "a network of no task"),
        (Doubler(), {"config": {"shape": (1, 4, 8, 12)}}, r"makes \[1, 3, 8, 12\] of it"),
        (Doubler(), {"config": {"shape": (1, 3, "h", 12)}}, "one picture of a fixed size"),
        (Net(), {}, "the network gives 2 outputs"),
    ],
)
def test_what_cannot_be_embedded_is_said(net: nn.Module, changes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        run(net.eval(), picture_job(tmp_path / "x.onnx", **changes))


def test_pictures_are_wanted_where_they_are_embedded(tmp_path: Path) -> None:
    floats = Samples({"input": np.zeros((1, 1, 8, 12, 3), np.float32)}, ("a",), "real")
    with pytest.raises(
        InputError, match=r"samples hold input \[1, 8, 12, 3\] float32; export.shape input 1x8x12x3 uint8"
    ):
        run(Doubler().eval(), picture_job(tmp_path / "x.onnx", samples=floats))
