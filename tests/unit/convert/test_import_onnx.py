"""Adopting a stranger's ONNX: sizes by rule or by --dim, a usable opset, the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekd.convert import import_onnx
from edgekd.core.artifact import read_artifact
from edgekd.core.errors import InputError
from edgekd.core.tensor import TensorSpec
from edgekd.graph.evaluate import run_onnx
from edgekd.graph.model import load_onnx, save_onnx
from tests.unit.graph.networks import branches, convolutions


def old_and_dynamic() -> onnx.ModelProto:
    """IR 3, opset 9, weights among the inputs, a dynamic batch and height, Upsample."""
    return onnx.parser.parse_model("""
        <ir_version: 3, opset_import: ["" : 9]>
        net (float[N, 3, height, 40] x, float[4,3,1,1] w, float[4] scales) => (float[N, 4, h2, w2] y)
        <float[4,3,1,1] w = {1,2,3,4,5,6,7,8,9,10,11,12}, float[4] scales = {1,1,2,2}> {
            a = Conv (x, w)
            y = Upsample <mode = "linear"> (a, scales)
        }
    """)


def test_old_files_come_out_modern_static_and_equal(tmp_path: Path) -> None:
    save_onnx(old_and_dynamic(), tmp_path / "old.onnx")
    made = import_onnx.run(tmp_path / "old.onnx", {"height": 24}, None, tmp_path / "new.onnx")
    assert [str(s) for s in (*made.inputs, *made.outputs)] == ["x 1x3x24x40 float32", "y 1x4x48x80 float32"]
    assert (made.facts["assumed"], made.facts["fixed"]) == ({"N": 1}, {"height": 24})
    assert made.facts["opset"] == {"given": 9, "now": 13}
    assert made.facts["layout"] == {"x": "NCHW"}
    assert made.facts["cost"]["macs"] == 12 * 24 * 40
    assert read_artifact(made.path) == made
    x = np.random.default_rng(1).random((1, 3, 24, 40), np.float32)
    # Left alone, the converter's Resize samples elsewhere than Upsample did.
    found, expected = run_onnx(made.path, {"x": x})["y"], run_onnx(tmp_path / "old.onnx", {"x": x})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_every_node_gets_a_name_of_its_own(tmp_path: Path) -> None:
    save_onnx(branches(), tmp_path / "if.onnx")
    model = load_onnx(import_onnx.run(tmp_path / "if.onnx", {}, None, tmp_path / "new.onnx").path)
    names = [n.name for n in model.graph.node]
    names += [n.name for a in model.graph.node[-1].attribute for n in a.g.node]
    assert len(names) == len(set(names)) == 4
    assert all(names)


def test_sample_rates_and_scalars(tmp_path: Path) -> None:
    save_onnx(branches(), tmp_path / "if.onnx")
    made = import_onnx.run(tmp_path / "if.onnx", {}, None, tmp_path / "new.onnx")
    assert made.facts["assumed"] == {"batch": 1, "length": 512}
    assert import_onnx.synthetic_feeds(made.inputs, 1, 0).feeds(0)["sr"] == 16000
    fixed = import_onnx.run(tmp_path / "if.onnx", {"sr": 8000}, None, tmp_path / "fixed.onnx")
    assert [spec.name for spec in fixed.inputs] == ["input"]
    x = np.ones((1, 512), np.float32)
    assert run_onnx(fixed.path, {"input": x})["output"][0, 0] == -1


@pytest.mark.parametrize(
    ("dims", "says"), [({"hight": 3}, "it has: batch, length"), ({"batch": 0}, "a size of 1 or more")]
)
def test_wrong_dims_are_named(tmp_path: Path, dims: dict[str, int], says: str) -> None:
    save_onnx(branches(), tmp_path / "if.onnx")
    with pytest.raises(InputError, match=says):
        import_onnx.run(tmp_path / "if.onnx", dims, None, tmp_path / "new.onnx")
    assert not (tmp_path / "new.onnx").exists()


def test_an_input_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    save_onnx(branches(), tmp_path / "if.onnx")
    with pytest.raises(InputError, match="elements"):
        import_onnx.run(tmp_path / "if.onnx", {"length": 2**40}, None, tmp_path / "new.onnx")


def test_real_samples_are_what_parity_is_proven_on(tmp_path: Path) -> None:
    save_onnx(convolutions(), tmp_path / "net.onnx")
    samples = import_onnx.synthetic_feeds([TensorSpec("picture", (1, 3, 16, 16), "float32")], 2, 5)
    made = import_onnx.run(tmp_path / "net.onnx", {}, samples, tmp_path / "new.onnx")
    assert made.facts["parity_on"] == "synthetic, seed 5"


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
    assert all(np.array_equal(one.inputs[name], two.inputs[name]) for name in ("x", "ids", "mask"))
    assert one.source.startswith("synthetic")
    assert set(np.unique(one.inputs["ids"])) <= {0, 1}
    with pytest.raises(InputError, match="cannot feed"):
        import_onnx.synthetic_feeds([TensorSpec("s", (1,), "string")], 1, 0)
