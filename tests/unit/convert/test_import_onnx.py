"""Importing any ONNX file: sizes by rule or by --dim, a recent opset, named nodes, the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from edgekd.convert import import_onnx
from edgekd.core import provenance
from edgekd.core.artifact import read_artifact, sha256_of
from edgekd.core.errors import InputError, ParityError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import Samples
from edgekd.core.schema import to_plain
from edgekd.core.tensor import DimRange, TensorSpec
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import load_onnx, save_onnx
from tests.unit.graph.networks import branches, convolutions, parse


def old_and_dynamic() -> ModelProto:
    """IR 3, opset 9, weights among the inputs, a dynamic batch and height, Upsample."""
    return onnx.parser.parse_model("""
        <ir_version: 3, opset_import: ["" : 9]>
        net (float[N, 3, height, 40] x, float[4,3,1,1] w, float[4] scales) => (float[N, 4, h2, w2] y)
        <float[4,3,1,1] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float[4] scales = {1,1,2,2}> {
            a = Conv (x, w)
            y = Upsample <mode = "linear"> (a, scales)
        }
    """)


def imported(model: ModelProto, folder: Path, dims: dict[str, int] | None = None, samples: Samples | None = None):
    save_onnx(model, folder / "given.onnx")
    return import_onnx.run(folder / "given.onnx", dims or {}, samples, folder / "new.onnx")


def test_old_files_come_out_modern_static_and_equal(tmp_path: Path) -> None:
    made = imported(old_and_dynamic(), tmp_path, {"height": 24})
    assert [str(s) for s in (*made.inputs, *made.outputs)] == ["x 1x3x24x40 float32", "y 1x4x48x80 float32"]
    assert (made.facts["assumed"], made.facts["fixed"]) == ({"N": 1}, {"height": 24})
    assert made.facts["opset"] == {"given": 9, "now": 13}
    assert made.facts["layout"] == {"x": "NCHW"}
    x = np.random.default_rng(1).random((1, 3, 24, 40), np.float32)
    # Left alone, the converter's Resize samples elsewhere than Upsample did.
    found, expected = run_onnx(made.path, {"x": x})["y"], run_onnx(tmp_path / "given.onnx", {"x": x})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_manifest_has_the_network_and_its_origin(tmp_path: Path) -> None:
    made = imported(old_and_dynamic(), tmp_path, {"height": 24})
    assert made.network is not None
    assert (made.network.role, made.network.title, made.network.task) == ("model", "given", "")
    assert made.network.cost["macs"] == 12 * 24 * 40
    assert made.made_by == provenance.import_onnx(
        sha256_of(tmp_path / "given.onnx"), {"height": 24}, to_plain(NetworkInfo(title="given"))
    )
    assert read_artifact(made.path) == made
    assert "N=1" in made.facts["summary"]


def test_every_node_gets_a_name_of_its_own(tmp_path: Path) -> None:
    model = load_onnx(imported(branches(), tmp_path).path)
    names = [n.name for n in model.graph.node]
    names += [n.name for a in model.graph.node[-1].attribute for n in a.g.node]
    assert len(names) == len(set(names)) == 4
    assert all(names)


def test_given_names_stay_and_made_up_ones_avoid_them(tmp_path: Path) -> None:
    model = parse("g (float[2] x) => (float[2] y) { [Neg_1] a = Neg (x) b = Neg (a) [last] y = Neg (b) }")
    names = [node.name for node in load_onnx(imported(model, tmp_path).path).graph.node]
    assert (names[0], names[2]) == ("Neg_1", "last")
    assert len(set(names)) == 3


def test_sample_rates_and_scalars(tmp_path: Path) -> None:
    made = imported(branches(), tmp_path)
    assert made.facts["assumed"] == {"batch": 1, "length": 512}
    assert import_onnx.synthetic_feeds(made.inputs, 1, 0)[0].feeds["sr"] == 16000
    fixed = imported(branches(), tmp_path, {"sr": 8000})
    assert [spec.name for spec in fixed.inputs] == ["input"]
    x = np.ones((1, 512), np.float32)
    assert run_onnx(fixed.path, {"input": x})["output"][0, 0] == -1


@pytest.mark.parametrize(
    ("dims", "found"),
    [({"hight": 3}, "it has: batch, length"), ({"batch": 0}, "--dim batch=0"), ({"length": -2}, "--dim length=-2")],
)
def test_wrong_dims_are_named(tmp_path: Path, dims: dict[str, int], found: str) -> None:
    with pytest.raises(InputError, match=found):
        imported(branches(), tmp_path, dims)
    assert not (tmp_path / "new.onnx").exists()


def test_an_input_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(2**40)):
        imported(branches(), tmp_path, {"length": 2**40})


def test_sizes_are_tried_until_the_network_runs(tmp_path: Path) -> None:
    model = parse("g (float[1,n] x) => (float[1,2,128] y) <int64[3] s = {1, 2, 128}> { y = Reshape (x, s) }")
    assert imported(model, tmp_path).facts["assumed"] == {"n": 256}


def test_a_network_that_runs_at_no_size_is_refused(tmp_path: Path) -> None:
    model = parse("g (float[1,n] x) => (float[1,2,77] y) <int64[3] s = {1, 2, 77}> { y = Reshape (x, s) }")
    with pytest.raises(InputError, match="--dim n=SIZE"):
        imported(model, tmp_path)
    assert imported(model, tmp_path, {"n": 154}).outputs[0].shape == (1, 2, 77)


def test_unnamed_dimensions_are_named_by_input_and_axis(tmp_path: Path) -> None:
    model = parse("g (float[n,3] x) => (float[n,3] y) { y = Neg (x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].Clear()
    assert imported(model, tmp_path).facts["assumed"] == {"x_d0": 1}
    assert imported(model, tmp_path, {"x_d0": 5}).inputs[0].shape == (5, 3)


def test_an_opset_that_cannot_be_raised_stays_and_the_reason_is_recorded(tmp_path: Path, monkeypatch) -> None:
    def convert(model: ModelProto, target: int) -> ModelProto:
        raise onnx.version_converter.ConvertError("no adapter\nfor Upsample")

    monkeypatch.setattr(onnx.version_converter, "convert_version", convert)
    made = imported(old_and_dynamic(), tmp_path, {"height": 24})
    assert made.facts["opset"] == {"given": 9, "now": 9, "reason": "no adapter for Upsample"}


def test_a_conversion_that_changes_numbers_is_not_used(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(import_onnx, "_restore_resize_modes", lambda model, given_opset: model)
    made = imported(old_and_dynamic(), tmp_path, {"height": 24})
    assert made.facts["opset"]["now"] == 9
    assert "'y'" in made.facts["opset"]["reason"]


def test_numbers_that_change_are_an_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(import_onnx, "TOLERANCE", -1.0)
    with pytest.raises(ParityError, match="'scores'"):
        imported(convolutions(), tmp_path)
    assert not (tmp_path / "new.onnx").exists()


def test_a_recent_opset_is_left_alone(tmp_path: Path) -> None:
    made = imported(convolutions(), tmp_path)
    assert made.facts["opset"] == {"given": 17, "now": 17}
    assert made.facts["assumed"] == {}


def test_parity_is_checked_on_samples_that_have_the_networks_inputs(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 1, 3, 16, 16), np.float32)
    made = imported(convolutions(), tmp_path, samples=Samples.of({"picture": images}, "the user's images"))
    assert made.facts["parity_on"] == "the user's images"
    made = imported(convolutions(), tmp_path, samples=Samples.of({"another": images}, "the user's images"))
    assert made.facts["parity_on"].startswith("synthetic")


def test_outputs_get_the_shapes_they_had(tmp_path: Path) -> None:
    model = parse(
        "g (float[4] x) => (float[n] kept, float total) { kept = Relu (x) total = ReduceSum <keepdims = 0> (x) }"
    )
    shapes = {spec.name: spec.shape for spec in imported(model, tmp_path).outputs}
    assert shapes == {"kept": (4,), "total": ()}


def test_a_size_that_depends_on_the_values_stays_dynamic(tmp_path: Path) -> None:
    model = parse("g (float[8] x) => (int64[1,count] where) { where = NonZero (x) }")
    full, half = np.ones(8, np.float32), np.repeat(np.float32([0, 1]), 4)
    made = imported(model, tmp_path, samples=Samples.of({"x": np.stack([full, half])}, "two"))
    assert made.outputs[0].shape == (1, "where_d1")


@pytest.mark.parametrize(
    ("shape", "dtype", "layout"),
    [
        ((1, 3, 8, 8), "float32", "NCHW"),
        ((1, 8, 8, 1), "uint8", "NHWC"),
        ((1, 8, 8, 4), "float32", None),
        ((1, 3, 8, 8), "int64", None),
        ((3, 8, 8), "float32", None),
    ],
)
def test_image_layout(shape: tuple[int, ...], dtype: str, layout: str | None) -> None:
    assert TensorSpec("x", shape, dtype).picture_layout == layout


def test_synthetic_feeds_are_repeatable_and_in_range() -> None:
    inputs = [TensorSpec("x", (2, 3), "float32"), TensorSpec("ids", (4,), "int64"), TensorSpec("mask", (4,), "bool")]
    one, two = import_onnx.synthetic_feeds(inputs, 3, 9), import_onnx.synthetic_feeds(inputs, 3, 9)
    assert one.digest == two.digest != import_onnx.synthetic_feeds(inputs, 3, 10).digest
    assert (one.origin, len(one), len(set(one.names))) == ("synthetic", 3, 3)
    for sample in one:
        assert {name: array.dtype.name for name, array in sample.feeds.items()} == {s.name: s.dtype for s in inputs}
        assert set(np.unique(sample.feeds["ids"])) <= {0, 1}
        assert 0 <= sample.feeds["x"].min() <= sample.feeds["x"].max() < 1


def test_synthetic_feeds_take_the_optimal_size_of_a_range() -> None:
    spec = TensorSpec("x", ("n", 2), "float16", {"n": DimRange(1, 5, 9)})
    assert import_onnx.synthetic_feeds([spec], 1, 0)[0].feeds["x"].shape == (5, 2)


@pytest.mark.parametrize("dtype", ["string", "bfloat16"])
def test_types_that_cannot_be_made_up_are_refused(dtype: str) -> None:
    with pytest.raises(InputError, match=dtype):
        import_onnx.synthetic_feeds([TensorSpec("s", (1,), dtype)], 1, 0)


def test_weights_listed_as_inputs_become_initializers_alone(tmp_path: Path) -> None:
    model = load_onnx(imported(old_and_dynamic(), tmp_path, {"height": 8}).path)
    assert [value.name for value in model.graph.input] == ["x"]
    assert model.ir_version >= 4
    assert {t.data_type for t in model.graph.initializer if t.name == "w"} == {TensorProto.FLOAT}
