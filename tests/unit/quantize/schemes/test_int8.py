"""INT8: what it is calibrated on, and what it refuses."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.core.artifact import Artifact
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import BuildError, CalibrationError, InputError
from edgekd.core.samples import Samples
from edgekd.quantize.schemes import int8
from tests.unit.graph.networks import artifact_of, convolutions, real_samples


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    return artifact_of(convolutions(), tmp_path / "in.onnx")


def scales(path: Path) -> dict[str, float]:
    """Return the scale of each activation."""
    model = onnx.load(path)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return {n.input[0]: float(constants[n.input[1]]) for n in model.graph.node if n.op_type == "QuantizeLinear"}


def test_facts_say_on_what_and_how_much(given: Artifact, tmp_path: Path) -> None:
    facts = int8.quantize(given, QuantizeConfig(), real_samples(convolutions()), tmp_path / "out.onnx").facts
    assert facts["quantized"]["operators"] == {"Conv": 2, "Gemm": 1}
    assert facts["quantized"]["int8_weight_bytes"] == 8 * 27 + 8 * 36 + 40
    assert (facts["quantized"]["weights"], facts["quantized"]["activations"]) == (3, 3)
    assert {k: facts["calibration"][k] for k in ("source", "count", "method")} == {
        "source": "pictures of the test",
        "count": 8,
        "method": "minmax",
    }


def test_minmax_covers_the_largest_value_of_all_samples(given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions())
    samples.inputs["picture"][5, 0, 1, 2, 3] = -12.7
    int8.quantize(given, QuantizeConfig(), samples, tmp_path / "out.onnx")
    assert scales(tmp_path / "out.onnx")["picture"] == pytest.approx(12.7 / 127, rel=0.01)


def test_percentile_cuts_an_outlier(given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions())
    samples.inputs["picture"][5, 0, 1, 2, 3] = 50.0
    config = dataclasses.replace(QuantizeConfig(), calibration="percentile", percentile=99.0)
    int8.quantize(given, config, samples, tmp_path / "out.onnx")
    assert scales(tmp_path / "out.onnx")["picture"] < 0.5 * 50 / 127


def test_memory_holds_one_sample_whatever_the_method(given: Artifact, tmp_path: Path, monkeypatch) -> None:
    stretches: list[tuple[int, int]] = []
    set_range = int8._Reader.set_range

    def spy(self: int8._Reader, start_index: int, end_index: int) -> None:
        stretches.append((start_index, end_index))
        set_range(self, start_index, end_index)

    monkeypatch.setattr(int8._Reader, "set_range", spy)
    config = QuantizeConfig(calibration="entropy")
    int8.quantize(given, config, real_samples(convolutions()), tmp_path / "out.onnx")
    assert stretches[1:] == [(i, i + 1) for i in range(8)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"count": 7}, "was given 7 calibration samples"),
        ({"source": "synthetic, seed 0"}, "give --images"),
        ({"value": np.nan}, "'synthetic_2' has NaN or infinity in 'picture'"),
        ({"value": np.inf}, "'synthetic_2' has NaN or infinity in 'picture'"),
    ],
)
def test_unusable_samples_are_refused(change: dict[str, object], says: str, given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions(), int(str(change.get("count", 8))))
    if "value" in change:
        samples.inputs["picture"][2, 0, 1, 0, 0] = change["value"]
    samples = dataclasses.replace(samples, source=str(change.get("source", "real")))
    with pytest.raises(CalibrationError, match=says):
        int8.quantize(given, QuantizeConfig(), samples, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_old_opsets_and_graphs_without_weights_are_refused(tmp_path: Path) -> None:
    model = convolutions()
    model.opset_import[0].version = 12
    with pytest.raises(InputError, match="opset 12; INT8 needs 13"):
        int8.quantize(
            artifact_of(model, tmp_path / "old.onnx"), QuantizeConfig(), real_samples(model), tmp_path / "o.onnx"
        )
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> n (float[2] x) => (float[2] y) { y = Relu (x) }'
    )
    with pytest.raises(BuildError, match="nothing to quantize"):
        int8.quantize(
            artifact_of(model, tmp_path / "r.onnx"), QuantizeConfig(), real_samples(model), tmp_path / "o.onnx"
        )


def test_samples_of_another_network_are_refused(given: Artifact, tmp_path: Path) -> None:
    other = Samples({"image": np.zeros((8, 1, 3, 16, 16), np.float32)}, tuple("abcdefgh"), "real")
    with pytest.raises((InputError, BuildError)):
        int8.quantize(given, QuantizeConfig(), other, tmp_path / "out.onnx")


def test_a_weight_in_a_constant_node_is_still_per_channel(tmp_path: Path) -> None:
    model = convolutions()
    weight = next(t for t in model.graph.initializer if t.name == "w1")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w1"], value=weight))
    model.graph.initializer.remove(weight)
    made = int8.quantize(
        artifact_of(model, tmp_path / "c.onnx"), QuantizeConfig(), real_samples(model), tmp_path / "o.onnx"
    )
    assert made.facts["quantized"]["weights"] == 3


def test_nothing_is_said_and_logging_is_left_as_it_was(
    given: Artifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    level = logging.getLogger().level
    int8.quantize(given, QuantizeConfig(), real_samples(convolutions()), tmp_path / "out.onnx")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().level == level
