"""Reading ONNX files: a checked model, or one line that names what is wrong; and looking into graphs."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgekd.core.errors import InputError
from edgekd.graph.cost import cost_of
from edgekd.graph.model import (
    dims_of,
    dtype_of,
    graphs,
    infer_shapes,
    input_specs,
    load_onnx,
    opset_of,
    save_onnx,
    specs,
    subgraphs,
    tensors,
    to_bytes,
)
from tests.unit.graph.networks import branches, convolutions, parse


def refusal(path: Path) -> str:
    """Return the message that refuses ``path``."""
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
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 64, "not a complete ONNX file"),
        (b"hello, this is no graph at all", "not"),
        (convolutions().SerializeToString()[:300], "not a complete ONNX file"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "not an ONNX file"),
    ],
)
def test_bytes_that_are_not_onnx_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    assert message in refusal(path)


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


def test_external_data_inside_the_folder_is_loaded(tmp_path: Path) -> None:
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
    assert "data of another size" in refusal(path)


def test_an_initializer_among_the_inputs_is_no_input() -> None:
    model = convolutions()
    model.graph.input.append(helper.make_tensor_value_info("w1", TensorProto.FLOAT, [8, 3, 3, 3]))
    inputs, outputs = specs(model)
    assert [str(spec) for spec in (*inputs, *outputs)] == ["picture 1x3x16x16 float32", "scores 1x5 float32"]


def test_ranges_go_to_the_dims_they_name() -> None:
    spec = input_specs(branches(), {"batch": (1, 1, 1), "length": (1, 2, 3)})[0]
    assert (spec.at("min"), spec.at("opt"), spec.at("max")) == ((1, 1), (1, 2), (1, 3))


def test_external_data_may_begin_anywhere_in_its_file(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(b"edge" * 4 + data)
    model = onnx.load(path, load_external_data=False)
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == "offset").value = "16"
    path.write_bytes(model.SerializeToString())
    expected = numpy_helper.to_array(convolutions().graph.initializer[0])
    np.testing.assert_array_equal(numpy_helper.to_array(load_onnx(path).graph.initializer[0]), expected)


def test_a_negative_offset_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    model = onnx.load(path, load_external_data=False)
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == "offset").value = "-4"
    path.write_bytes(model.SerializeToString())
    assert "bytes -4 to" in refusal(path)


def test_files_and_external_data_over_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = external(tmp_path, "weights.bin")
    monkeypatch.setattr("edgekd.graph.model.MAX_BYTES", 863)  # one byte less than the external weight
    monkeypatch.setattr("edgekd.graph.model._read", lambda path: path.read_bytes())
    assert "external data are over 863 bytes" in refusal(path)
    monkeypatch.undo()
    monkeypatch.setattr("edgekd.graph.model.MAX_BYTES", 100)
    assert "at most 100" in refusal(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "loop.onnx"
    os.symlink(path, path)
    assert "cannot read" in refusal(path)


def test_external_data_is_not_written_again(tmp_path: Path) -> None:
    """A file that was read is whole in itself: its external data may go."""
    path = external(tmp_path, "weights.bin")
    model = load_onnx(path)
    save_onnx(model, tmp_path / "whole.onnx")
    (tmp_path / "weights.bin").unlink()
    assert load_onnx(tmp_path / "whole.onnx") == model


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64),
        np.ones((2, 3), np.float16),
        np.array([True, False, True]),
        np.array([1 + 2j, 3], np.complex64),
    ],
)
def test_tensors_of_every_width_pass_and_a_missing_element_does_not(tmp_path: Path, array: np.ndarray) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    tensor = numpy_helper.from_array(array, "extra")
    model.graph.initializer.append(tensor)
    save_onnx(model, path)
    assert numpy_helper.to_array(load_onnx(path).graph.initializer[-1]).tolist() == array.tolist()
    model.graph.initializer[-1].raw_data = tensor.raw_data[: -array.itemsize]
    save_onnx(model, path)
    assert "data of another size" in refusal(path)


@pytest.mark.parametrize(("values", "is_whole"), [([1, 2, 3], True), ([1, 2], False), ([1, 2, 3, 4], False)])
def test_values_that_are_listed_are_counted(tmp_path: Path, values: list[float], is_whole: bool) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    model.graph.initializer.append(TensorProto(name="extra", data_type=TensorProto.FLOAT, dims=[3], float_data=values))
    save_onnx(model, path)
    if is_whole:
        assert load_onnx(path).graph.initializer[-1].float_data == values
    else:
        assert "data of another size" in refusal(path)


def test_four_bit_elements_lie_two_in_a_byte(tmp_path: Path) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    model.opset_import[0].version, model.ir_version = 21, 10
    model.graph.initializer.append(TensorProto(name="extra", data_type=TensorProto.INT4, dims=[5], raw_data=bytes(3)))
    save_onnx(model, path)
    assert load_onnx(path).graph.initializer[-1].dims == [5]
    model.graph.initializer[-1].raw_data = bytes(2)
    save_onnx(model, path)
    assert "data of another size" in refusal(path)


def test_negative_dims_are_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    model.graph.initializer[0].dims[0] = -8
    save_onnx(model, path)
    assert "dims [-8, 3, 3, 3]; sizes of 0 or more" in refusal(path)


def test_tensors_in_attributes_and_branches_are_checked_too(tmp_path: Path) -> None:
    path, model = tmp_path / "x.onnx", branches()
    then = model.graph.node[1].attribute[0].g
    broken = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(8))
    then.node.insert(0, helper.make_node("Constant", [], ["k"], value=broken))
    path.write_bytes(model.SerializeToString())
    assert "tensor 'k' has dims [3] and data of another size" in refusal(path)


def test_every_tensor_of_a_model_is_found() -> None:
    def constant(name: str) -> TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])

    def sparse(name: str) -> onnx.SparseTensorProto:
        return helper.make_sparse_tensor(
            constant(name), helper.make_tensor(f"{name}_at", TensorProto.INT64, [1], [0]), [4]
        )

    model = branches()
    model.graph.sparse_initializer.append(sparse("sparse"))
    model.graph.node.append(helper.make_node("Constant", [], ["a"], value=constant("attribute")))
    model.graph.node.append(helper.make_node("Constant", [], ["b"], sparse_value=sparse("inside")))
    model.graph.node.append(helper.make_node("Other", [], ["c"], domain="test", list=[constant("listed")]))
    model.graph.node[1].attribute[0].g.initializer.append(constant("branch"))
    body = helper.make_node("Constant", [], ["d"], value=constant("function"))
    model.functions.append(helper.make_function("test", "F", [], ["d"], [body], [helper.make_opsetid("", 16)]))
    assert sorted(tensor.name for tensor in tensors(model)) == [
        *("attribute", "branch", "function", "inside", "inside_at", "listed"),
        *("rate", "sparse", "sparse_at", "two"),
    ]


def test_graphs_are_found_from_the_outermost_inwards() -> None:
    model = branches()
    node = model.graph.node[1]
    assert [graph.name for graph in subgraphs(node)] == ["yes", "no"]
    inner = helper.make_graph([], "innermost", [], [])
    node.attribute[0].g.node.append(helper.make_node("If", ["cond"], ["t"], then_branch=inner, else_branch=inner))
    assert [graph.name for graph in graphs(model.graph)] == ["net", "yes", "innermost", "innermost", "no"]
    assert not list(subgraphs(model.graph.node[0]))


@pytest.mark.parametrize(
    ("imports", "opset"),
    [([("", 17)], 17), ([("com.microsoft", 99), ("ai.onnx", 13)], 13), ([("test", 1)], 1), ([], 1)],
)
def test_the_opset_is_the_standard_domains(imports: list[tuple[str, int]], opset: int) -> None:
    model = convolutions()
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in imports)
    assert opset_of(model) == opset


def test_dims_are_sizes_names_or_none() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "n", None, 0])
    assert dims_of(value) == (1, "n", None, None)
    assert dims_of(helper.make_tensor_value_info("x", TensorProto.FLOAT, [])) == ()
    assert dims_of(helper.make_tensor_value_info("x", TensorProto.FLOAT, None)) is None
    assert dims_of(onnx.ValueInfoProto(name="x")) is None


def test_unnamed_dynamic_dimensions_are_named_by_tensor_and_axis() -> None:
    model = parse("net (float[2,n,?] x) => (float[2] y) { y = Other (x) }")
    assert str(input_specs(model)[0]) == "x 2xnxx_d2 float32"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1]), "'y' is sequence of unknown rank"),
        (helper.make_tensor_value_info("y", TensorProto.FLOAT, None), "'y' is tensor of unknown rank"),
        (onnx.ValueInfoProto(name="y"), "'y' is nothing of unknown rank"),
        (helper.make_tensor_value_info("y", TensorProto.COMPLEX64, [1]), "complex64; one of"),
        (helper.make_tensor_value_info("y", 999, [1]), "element type 999"),
    ],
)
def test_an_output_that_is_no_plain_tensor_is_refused(value: onnx.ValueInfoProto, message: str) -> None:
    model = convolutions()
    model.graph.output[0].CopyFrom(value)
    with pytest.raises(InputError, match=message):
        specs(model)
    assert [spec.name for spec in input_specs(model)] == ["picture"]


@pytest.mark.parametrize(
    ("elem_type", "dtype"),
    [(1, "float32"), (10, "float16"), (11, "float64"), (16, "bfloat16"), (9, "bool"), (2, "uint8"), (8, "string")],
)
def test_element_types_have_numpys_names(elem_type: int, dtype: str) -> None:
    assert dtype_of(elem_type, "x") == dtype


def test_shapes_are_inferred_on_a_copy() -> None:
    model = convolutions()
    before = model.SerializeToString()
    inferred = infer_shapes(model)
    shapes = {value.name: dims_of(value) for value in inferred.graph.value_info}
    images = dict.fromkeys("abc", (1, 8, 16, 16))
    assert shapes == {**images, "d": (1, 8, 1, 1), "e": (1, 8)}
    assert model.SerializeToString() == before


def test_where_inference_fails_the_copy_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> ModelProto:
        raise onnx.shape_inference.InferenceError("contradiction")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    model = convolutions()
    copy = infer_shapes(model)
    assert copy == model
    assert copy is not model


def test_a_model_that_protobuf_cannot_write_is_refused() -> None:
    class TooLarge:
        def SerializeToString(self, **_: object) -> bytes:  # noqa: N802
            raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB\nmore")

    with pytest.raises(InputError, match=r"exceeds maximum protobuf size of 2GB.; at most 2 GB"):
        to_bytes(TooLarge())


def test_a_function_is_checked_as_well(tmp_path: Path) -> None:
    path, model = tmp_path / "x.onnx", convolutions()
    broken = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(8))
    body = helper.make_node("Constant", [], ["d"], value=broken)
    model.functions.append(helper.make_function("test", "F", [], ["d"], [body], [helper.make_opsetid("", 17)]))
    path.write_bytes(model.SerializeToString())
    assert "tensor 'k'" in refusal(path)


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
