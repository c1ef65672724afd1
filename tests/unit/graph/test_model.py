"""load_onnx: whatever lies in the file, a checked model or one line that says what is wrong."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgekd.core.errors import InputError
from edgekd.graph.cost import cost_of
from edgekd.graph.model import input_specs, load_onnx, save_onnx, specs
from tests.unit.graph.networks import branches, convolutions


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_onnx(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_round_trip_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    save_onnx(convolutions(), one)
    save_onnx(load_onnx(one), two)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\x00" * 64, "not a whole ONNX file"),
        (b"hello, this is no graph at all", "not"),
        (convolutions().SerializeToString()[:300], "not a whole ONNX file"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "not an ONNX file"),
    ],
)
def test_what_is_not_onnx_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    assert says in refusal(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.onnx")
    assert "not a file" in refusal(tmp_path)


def test_newer_versions_are_named(tmp_path: Path) -> None:
    path, model = tmp_path / "new.onnx", convolutions()
    model.opset_import[0].version = 999
    save_onnx(model, path)
    assert "opset 999" in refusal(path)
    model.ir_version = 99
    save_onnx(model, path)
    assert "IR version 99" in refusal(path)


def external(folder: Path, location: str, length: int | None = None) -> Path:
    """Write a network whose first weight lies in another file."""
    model = convolutions()
    weight = model.graph.initializer[0]
    data = weight.raw_data
    (folder / "weights.bin").write_bytes(data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(length or len(data))}.items():
        weight.external_data.add(key=key, value=value)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_inside_the_folder_is_drawn_in(tmp_path: Path) -> None:
    model = load_onnx(external(tmp_path, "weights.bin"))
    assert not any(t.external_data for t in model.graph.initializer)
    expected = numpy_helper.to_array(convolutions().graph.initializer[0])
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), expected)


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(864))
    assert "only a relative path" in refusal(external(inner, "../secret.bin"))
    assert "only a relative path" in refusal(external(inner, str(tmp_path / "secret.bin")))
    os.symlink(tmp_path / "secret.bin", inner / "link.bin")
    assert "is a link" in refusal(external(inner, "link.bin"))
    os.symlink(tmp_path, inner / "up")
    assert "is a link" in refusal(external(inner, "up/secret.bin"))
    assert "no such file" in refusal(external(inner, "none.bin"))
    assert "the file has 864" in refusal(external(inner, "weights.bin", length=10**12))


def test_dims_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    model.graph.initializer[0].dims[0] = 2**40
    save_onnx(model, path)
    assert "data for another size" in refusal(path)


def test_an_initializer_among_the_inputs_is_no_input() -> None:
    model = convolutions()
    model.graph.input.append(onnx.helper.make_tensor_value_info("w1", TensorProto.FLOAT, [8, 3, 3, 3]))
    inputs, outputs = specs(model)
    assert [str(spec) for spec in (*inputs, *outputs)] == ["picture 1x3x16x16 float32", "scores 1x5 float32"]


def test_ranges_go_to_the_dims_they_name() -> None:
    spec = input_specs(branches(), {"batch": (1, 1, 1), "length": (1, 2, 3)})[0]
    assert (spec.at("min"), spec.at("opt"), spec.at("max")) == ((1, 1), (1, 2), (1, 3))


@pytest.mark.parametrize("make", [convolutions, branches])
def test_damaged_files_never_raise_anything_else(tmp_path: Path, make) -> None:
    path, whole = tmp_path / "x.onnx", make().SerializeToString()
    rng, refused = random.Random(7), 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
        try:
            cost_of(load_onnx(path))
        except InputError as err:
            refused += 1
            assert "\n" not in str(err)  # noqa: PT017
    assert refused > 20
