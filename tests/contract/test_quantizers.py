"""Every scheme in edgekd/quantize: the file carries its precision, the same in gives the same out, the edge stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, read_artifact, sha256_of
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import InputError
from edgekd.core.family import load, names
from edgekd.graph.evaluate import run_onnx
from tests.unit.graph.networks import artifact_of, convolutions, real_samples

SCHEMES = names("quantize.schemes")
LEAST_DB = {"fp32": 200.0, "fp16": 45.0, "int8": 15.0}


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    return artifact_of(convolutions(), tmp_path / "in.onnx")


def made_by(scheme: str, given: Artifact, out: Path, config: QuantizeConfig | None = None) -> Artifact:
    made: Artifact = load("quantize.schemes", scheme).quantize(
        given, config or QuantizeConfig(), real_samples(convolutions()), out
    )
    return made


def carries_fp32(model: ModelProto) -> bool:
    return {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT}


def carries_fp16(model: ModelProto) -> bool:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    inner = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    return {t.data_type for t in model.graph.initializer} == {TensorProto.FLOAT16} and inner == {TensorProto.FLOAT16}


def carries_int8(model: ModelProto) -> bool:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [
        node for node in model.graph.node if node.op_type.endswith("quantizeLinear") or "QuantizeL" in node.op_type
    ]
    zero_points = [constants[node.input[2]] for node in pairs]
    weights = [n for n in pairs if n.op_type == "DequantizeLinear" and n.input[0] in constants]
    per_channel = all(constants[node.input[1]].size == 8 for node in weights if constants[node.input[0]].ndim == 4)
    symmetric = all(z.dtype == np.int8 and not z.any() for z in zero_points)
    biases = [constants[n.input[2]] for n in model.graph.node if n.op_type in ("Conv", "Gemm") and len(n.input) == 3]
    return len(weights) == 3 and per_channel and symmetric and all(b.dtype == np.float32 for b in biases)


CARRIES = {"fp32": carries_fp32, "fp16": carries_fp16, "int8": carries_int8}


def test_every_scheme_has_its_proof() -> None:
    assert set(SCHEMES) == set(CARRIES) == set(LEAST_DB)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme(scheme: str, given: Artifact, tmp_path: Path) -> None:
    before = sha256_of(given.path)
    made = made_by(scheme, given, tmp_path / "out.onnx")
    again = made_by(scheme, given, tmp_path / "again.onnx")
    model = onnx.load(made.path)
    assert CARRIES[scheme](model)
    assert not any(CARRIES[other](model) for other in CARRIES if other != scheme)
    assert made.path.read_bytes() == again.path.read_bytes()
    assert (made.inputs, made.outputs) == (given.inputs, given.outputs)
    assert sha256_of(given.path) == before
    assert read_artifact(made.path) == made
    assert [(p.key, p.value) for p in model.metadata_props] == [("edgekd.pair", "a_from_b")]
    digest = provenance.digest_of_samples(real_samples(convolutions()))
    assert made.made_by == provenance.quantize(given.sha256, scheme, QuantizeConfig(), digest)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_parity_is_measured_and_within_its_bound(scheme: str, given: Artifact, tmp_path: Path) -> None:
    made = made_by(scheme, given, tmp_path / "out.onnx")
    told = made.facts["difference"]["scores"]
    samples = real_samples(convolutions())
    worst_db = np.inf
    for index in range(4):
        expected, found = (run_onnx(path, samples.feeds(index))["scores"] for path in (given.path, made.path))
        noise = max(float(np.sum((expected - found) ** 2)), 1e-30)
        worst_db = min(worst_db, 10 * np.log10(float(np.sum(expected**2)) / noise))
    assert worst_db >= LEAST_DB[scheme]
    assert (told["snr_db"] is None) == (scheme == "fp32")
    if scheme != "fp32":
        assert LEAST_DB[scheme] <= told["snr_db"] <= worst_db + 3


@pytest.mark.parametrize("scheme", ["fp16", "int8"])
def test_keep_leaves_nodes_in_fp32(scheme: str, given: Artifact, tmp_path: Path) -> None:
    made = made_by(scheme, given, tmp_path / "out.onnx", QuantizeConfig(keep=("sec*",)))
    model = onnx.load(made.path)
    makers = {name: node for node in model.graph.node for name in node.output}
    second = next(node for node in model.graph.node if node.name == "second")
    assert "w2" in second.input
    assert next(t.data_type for t in model.graph.initializer if t.name == "w2") == TensorProto.FLOAT
    assert makers[second.input[0]].op_type == {"fp16": "Cast", "int8": "Relu"}[scheme]
    with pytest.raises(InputError, match=r"'thrid\*' names no node"):
        made_by(scheme, given, tmp_path / "x.onnx", QuantizeConfig(keep=("thrid*",)))
