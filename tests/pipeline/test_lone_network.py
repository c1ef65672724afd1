"""One network of the user's own: its source says how it is fed, and with a task its accuracy is measured."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import save_file

from edgekd.cli import _run as edgekd
from edgekd.convert import import_onnx
from edgekd.core.artifact import read_artifact
from edgekd.results.result import read_result
from tests.pipeline.tiny import labelled, tiny_onnx

QUICK = ["--set", "quantize.schemes=['fp32']", "--set", 'build.backends=["onnxruntime"]']
QUICK += ["--set", "bench.processes=1", "--set", "bench.budget_s=1", "--set", "bench.block_ms=1"]
QUICK += ["--set", "export.exporter=torchscript", "--set", "simplify.enabled=false", "--quiet"]
CODE = """
from torch import nn

def net(classes=3):
    return nn.Sequential(nn.Conv2d(3, classes, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(CODE)
    path = tmp_path / "net.safetensors"
    save_file({"0.weight": torch.randn(3, 3, 3, 3), "0.bias": torch.zeros(3)}, path)
    return path


def test_a_checkpoint_is_scored_and_its_contract_goes_to_the_engine(weights: Path, tmp_path: Path) -> None:
    data, out = labelled("classification", tmp_path / "data"), tmp_path / "out"
    words = ["run", str(weights), "--model", f"{tmp_path}/nets.py:net", "--task", "classification", "--mean", "0.5"]
    words += ["--evaluation", str(data), "--input-size", "16x24", "--channels", "bgr", "-o", str(out), *QUICK]
    assert edgekd(words) == 0
    result = read_result(out / "result.json")
    assert result.primary_metric == "top1"
    assert len(result.candidates[0].accuracy_per_sample["top1"]) == 6
    engine = read_artifact(out / "model" / "onnxruntime" / "fp32.engine")
    network = engine.network
    assert network is not None
    assert network.input is not None
    assert network.task_options["classes"] == ["a leaf", "b spot", "c mold"]
    assert (network.input.size, network.input.channels, network.input.mean) == ((16, 24), "bgr", (0.5,))
    assert set(network.input_assumed) == {"scale", "std", "resize"}
    props = {prop.key: prop.value for prop in onnx.load(out / "model" / "exported.onnx").metadata_props}
    assert json.loads(props["edgekd.input"])["channels"] == "bgr"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "{folder}/nets.py:net"], "--input-size"),
        (["--model", "{folder}/nets.py:nett", "--input-size", "16"], "nett"),
        (["--model", "{folder}/nets.py:net?classes=4", "--input-size", "16"], "0.weight"),
        (["--model", "timm:no_such_net"], "no_such_net"),
        (["--model", "nets"], "'nets'"),
        (["--model", "{folder}/nets.py:net", "--channels", "rbg"], "'bgr'"),
        (["--model", "{folder}/nets.py:net", "--evaluation", "{folder}"], "--task"),
        (["--model", "{folder}/nets.py:net", "--dim", "n=1"], "--dim"),
        (["--model", "{folder}/nets.py:net", "--input-size", "16", "--mean", "a"], "--mean"),
        (["--model", "{folder}/nets.py:net", "--classes", "{folder}/nets.py"], "--task"),
        (["--model", "{folder}/nets.py:net", "--task", "super_resolution", "--resize", "crop"], "input.resize"),
    ],
)
def test_what_is_wrong_or_has_no_effect_is_refused_in_one_line(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    given = [word.format(folder=tmp_path) for word in words]
    assert edgekd(["run", str(weights), *given, "-o", str(tmp_path / "out"), *QUICK]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1


def test_an_onnx_file_says_how_it_is_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(tiny_onnx(tmp_path / "net.onnx"))
    onnx.helper.set_model_props(
        model, {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
    )
    onnx.save(model, tmp_path / "net.onnx")
    assert edgekd(["run", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out"), *QUICK[:-1]]) == 0
    error = capsys.readouterr().err
    assert "assumed, not known: resize" in error
    network = read_artifact(tmp_path / "out" / "model" / "fp32.onnx").network
    assert network is not None
    assert network.input is not None
    assert (network.input.channels, network.input.scale) == ("bgr", 255.0)


def test_a_file_of_dynamic_size_takes_that_of_its_metadata(tmp_path: Path) -> None:
    model = onnx.load(tiny_onnx(tmp_path / "net.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    props = {"names": "{0: 'cat'}", "stride": "32", "imgsz": "[24, 40]", "task": "detect"}
    onnx.helper.set_model_props(model, props)
    onnx.save(model, tmp_path / "net.onnx")
    out = tmp_path / "out.onnx"
    made = import_onnx.run(tmp_path / "net.onnx", {}, None, out)
    assert made.inputs[0].shape == (1, 3, 24, 40)
    assert made.network is not None
    assert made.network.input is not None
    assert (made.network.input.resize, made.network.input.pad_value, made.network.input_assumed) == (
        "letterbox",
        114,
        (),
    )
    other = import_onnx.run(tmp_path / "net.onnx", {"h": 16, "w": 16}, None, out)
    assert other.inputs[0].shape == (1, 3, 16, 16)
