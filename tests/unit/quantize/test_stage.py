"""The quantize stage: what it refuses, what it compares, what it publishes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from edgekd.core.artifact import Artifact, manifest_path, publish
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import BuildError, InputError, ParityError, RecipeError, UnknownName
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import SampleArchive, Samples, write_archive
from edgekd.core.tensor import DimRange
from edgekd.graph.cost import cost_of
from edgekd.graph.model import input_specs, specs, to_bytes
from edgekd.quantize import stage
from tests.unit.graph.networks import artifact_of, convolutions, parse, real_samples
from tests.unit.quantize.new_schemes import SHORT_MANTISSA, WatchedSamples, scheme_file, with_body

CONFIG = QuantizeConfig()
LINEAR = "net (float[1,8] x) => (float[1,8] y) <float[1] k = {2.0}> { [scale] y = Mul (x, k) }"


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    return artifact_of(convolutions(), tmp_path / "in.onnx")


def run_body(model: ModelProto, folder: Path, *lines: str, samples: Samples | None = None) -> Artifact:
    """Quantize ``model`` with a scheme whose body is ``lines``."""
    given = artifact_of(model, folder / "in.onnx")
    with scheme_file(folder, "testing", with_body(*lines)):
        return stage.run(given, "testing", CONFIG, samples or real_samples(model), folder / "out.onnx")


def options(scheme: str, **values: object) -> QuantizeConfig:
    return QuantizeConfig(options={scheme: values})


def set_constant(value: float) -> str:
    return f"new.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([{value}], np.float32), 'k'))"


def test_an_unknown_scheme_lists_those_there_are(given: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"'int9' .did you mean 'int8'"):
        stage.run(given, "int9", CONFIG, real_samples(convolutions()), tmp_path / "out.onnx")


def test_options_reach_the_scheme_and_only_that_scheme(given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions())
    with scheme_file(tmp_path, "short", SHORT_MANTISSA):
        config = QuantizeConfig(options={"short": {"bits": 3}, "int8": {"percentile": 1000}})
        made = stage.run(given, "short", config, samples, tmp_path / "3.onnx")
        default = stage.run(given, "short", CONFIG, samples, tmp_path / "6.onnx")
        with pytest.raises(RecipeError, match=r"quantize\.options\.short\.bits = 99"):
            stage.run(given, "short", options("short", bits=99), samples, tmp_path / "99.onnx")
        with pytest.raises(RecipeError, match=r"quantize\.options\.short\.bits.*integer"):
            stage.run(given, "short", options("short", bits="many"), samples, tmp_path / "many.onnx")
    assert (made.facts["mantissa_bits"], default.facts["mantissa_bits"]) == (3, 6)
    assert made.facts["difference"]["scores"]["snr_db"] < default.facts["difference"]["scores"]["snr_db"]
    assert made.facts["summary"].startswith("3 bits of mantissa, outputs at ")


def test_excluded_nodes_reach_the_scheme(given: Artifact, tmp_path: Path) -> None:
    samples, config = real_samples(convolutions()), QuantizeConfig(exclude_nodes=("dense", "[fs]*"))
    with scheme_file(tmp_path, "short", SHORT_MANTISSA):
        made = stage.run(given, "short", config, samples, tmp_path / "out.onnx")
        assert made.path.read_bytes() == given.path.read_bytes()
        assert "bit-identical" in made.facts["summary"]
        with pytest.raises(InputError, match="'nobody' matches none"):
            stage.run(given, "short", QuantizeConfig(exclude_nodes=("nobody",)), samples, tmp_path / "x.onnx")


def test_samples_of_another_network_are_refused_before_anything_runs(tmp_path: Path) -> None:
    other = Samples.of({"image": np.zeros((8, 1, 8), np.float32)}, "holiday photographs")
    with pytest.raises(InputError, match=r"holiday photographs\) feed image; the network takes x"):
        run_body(parse(LINEAR), tmp_path, "raise AssertionError('must not run')", samples=other)
    assert not (tmp_path / "out.onnx").exists()


def test_samples_of_another_shape_are_refused(tmp_path: Path) -> None:
    other = Samples.of({"x": np.zeros((8, 1, 9), np.float32)}, "real")
    with pytest.raises(InputError, match=r"x \[1, 9\]"):
        run_body(parse(LINEAR), tmp_path, "return Quantized(new)", samples=other)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("new.graph.output[0].type.tensor_type.elem_type = 10", "y 1x8 float16"),
        ("new.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2", "x 2x8 float32 →"),
        ("new.graph.output[0].name = 'z'", "z 1x8 float32"),
        ("new.graph.output.add().CopyFrom(helper.make_tensor_value_info('k', 1, [1]))", "y 1x8 float32, k 1 float32"),
    ],
)
def test_a_scheme_that_changes_the_signature_is_refused(line: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(ParityError) as caught:
        run_body(parse(LINEAR), tmp_path, line, "return Quantized(new)")
    assert found in str(caught.value)
    assert "x 1x8 float32 → y 1x8 float32 was expected" in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()


def test_a_broken_output_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"testing broke output 'y': .* dB SNR.*at least 5 dB"):
        run_body(parse(LINEAR), tmp_path, set_constant(4.0), "return Quantized(new)")
    assert not (tmp_path / "out.onnx").exists()
    assert not manifest_path(tmp_path / "out.onnx").exists()


def test_an_output_that_is_off_but_recognisable_is_published(tmp_path: Path) -> None:
    made = run_body(parse(LINEAR), tmp_path, set_constant(2.2), "return Quantized(new)")
    difference = made.facts["difference"]["y"]
    assert difference["relative"] == pytest.approx(0.1)
    assert difference["snr_db"] == pytest.approx(20, abs=1e-3)


def test_not_a_number_is_a_broken_output(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="broke output 'y'"):
        run_body(parse(LINEAR), tmp_path, set_constant(float("inf")).replace("inf", "np.inf"), "return Quantized(new)")


@pytest.mark.parametrize(("flipped", "is_broken"), [(4, False), (5, True)])
def test_labels_are_broken_where_more_than_half_changed(flipped: int, is_broken: bool, tmp_path: Path) -> None:
    """The first ``flipped`` of 8 labels change when the second class gains 2."""
    text = (
        "net (float[8,2] x) => (int64[8] y) <float[2] k = {0.0, 0.0}> { a = Add (x, k) "
        "y = ArgMax <axis = 1, keepdims = 0> (a) }"
    )
    feed = np.zeros((8, 2), np.float32)
    feed[:, 0] = 5
    feed[:flipped, 0] = 1
    line = "new.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([0, 2], np.float32), 'k'))"
    samples = Samples.of({"x": feed[None]}, "real")
    if is_broken:
        with pytest.raises(ParityError, match="62% of its labels changed"):
            run_body(parse(text), tmp_path, line, "return Quantized(new)", samples=samples)
    else:
        made = run_body(parse(text), tmp_path, line, "return Quantized(new)", samples=samples)
        assert made.facts["difference"]["y"]["relative"] == 0.5


def test_a_simulation_is_compared_in_place_of_the_graph(tmp_path: Path) -> None:
    lines = ("other = ModelProto()", "other.CopyFrom(model)", set_constant(2.2).replace("new.", "other."))
    made = run_body(parse(LINEAR), tmp_path, *lines, "return Quantized(new, simulation=other)")
    assert made.facts["difference"]["y"]["relative"] == pytest.approx(0.1)
    assert made.path.read_bytes() == to_bytes(parse(LINEAR))


def test_a_graph_that_does_not_run_is_refused_though_its_simulation_does(tmp_path: Path) -> None:
    line = "new.graph.node[0].op_type = 'Nonsense'"
    with pytest.raises(BuildError, match="rejects the graph"):
        run_body(parse(LINEAR), tmp_path, line, "return Quantized(new, simulation=model)")
    assert not (tmp_path / "out.onnx").exists()


def test_four_samples_are_compared_however_many_there_are(given: Artifact, tmp_path: Path) -> None:
    watched = WatchedSamples(real_samples(convolutions(), 20))
    stage.run(given, "fp16", CONFIG, watched, tmp_path / "out.onnx")
    # One for the names of its feeds, one for the graph beside its simulation, four for each of the two compared.
    assert watched.reads == 2 + 2 * 4


def test_the_fifth_sample_is_not_compared_and_the_worst_of_the_four_counts(tmp_path: Path) -> None:
    feeds = np.ones((5, 1, 8), np.float32)
    feeds[2] = -1  # Abs makes no difference anywhere but here
    line = "new.graph.node[0].CopyFrom(helper.make_node('Abs', ['x'], ['y']))"
    text = "net (float[1,8] x) => (float[1,8] y) { y = Identity (x) }"
    with pytest.raises(ParityError, match="broke output 'y'"):
        run_body(parse(text), tmp_path, line, "return Quantized(new)", samples=Samples.of({"x": feeds}, "real"))
    feeds = np.roll(feeds, 2, axis=0)
    made = run_body(parse(text), tmp_path, line, "return Quantized(new)", samples=Samples.of({"x": feeds}, "real"))
    assert made.facts["difference"]["y"]["max_abs"] == 0


def test_samples_in_a_file_do_as_well_as_samples_in_memory(given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions())
    archive = write_archive(tmp_path / "samples.npz", samples, samples.source)
    assert isinstance(archive, SampleArchive)
    for scheme in ("fp16", "int8"):
        made = stage.run(given, scheme, CONFIG, samples, tmp_path / "memory.onnx")
        other = stage.run(given, scheme, CONFIG, archive, tmp_path / "file.onnx")
        assert (made.sha256, made.made_by) == (other.sha256, other.made_by)


def test_ranges_of_dynamic_dimensions_stay_in_the_manifest(tmp_path: Path) -> None:
    model = parse("net (float[n,8] x) => (float[n,8] y) <float[1] k = {2.0}> { y = Mul (x, k) }")
    inputs, outputs = specs(model, {"n": (1, 2, 4)})
    given = publish(Artifact("onnx", tmp_path / "in.onnx", inputs=inputs, outputs=outputs), to_bytes(model))
    samples = Samples.of({"x": np.ones((8, 2, 8), np.float32)}, "real")
    made = stage.run(given, "fp32", CONFIG, samples, tmp_path / "out.onnx")
    assert made.inputs[0].ranges == {"n": DimRange(1, 2, 4)}
    assert input_specs(model)[0].ranges is None
    assert made.network is not None
    assert made.network.cost["bytes_moved"] == 4 * (2 * 2 * 8 + 1)


def test_a_graph_without_a_manifest_gets_its_signature_and_cost(tmp_path: Path) -> None:
    bare = Artifact("onnx", artifact_of(convolutions(), tmp_path / "in.onnx").path)
    made = stage.run(bare, "fp16", CONFIG, real_samples(convolutions()), tmp_path / "out.onnx")
    assert (made.inputs, made.outputs) == specs(convolutions())
    assert made.network == NetworkInfo(precision="fp16", cost=dataclasses.asdict(cost_of(convolutions())))


def test_the_cost_is_that_of_the_graph_before_quantization(given: Artifact, tmp_path: Path) -> None:
    network = NetworkInfo(role="teacher", title="a_from_b", cost={"macs": 7.0})
    given = dataclasses.replace(given, network=network)
    made = stage.run(given, "int8", CONFIG, real_samples(convolutions()), tmp_path / "out.onnx")
    assert made.network == dataclasses.replace(network, precision="int8")


def test_facts_hold_no_copy_of_what_is_a_field(given: Artifact, tmp_path: Path) -> None:
    made = stage.run(given, "fp32", CONFIG, real_samples(convolutions()), tmp_path / "out.onnx")
    assert set(made.facts) == {"difference", "compared_on", "summary"}
    manifest = json.loads(manifest_path(made.path).read_text())
    assert manifest["network"]["precision"] == "fp32"
    assert manifest["facts"]["difference"]["scores"]["snr_db"] is None


def test_a_file_that_is_gone_or_damaged_is_refused(given: Artifact, tmp_path: Path) -> None:
    given.path.write_bytes(given.path.read_bytes()[:100])
    for path in (given.path, tmp_path / "none.onnx"):
        with pytest.raises(InputError, match=path.name):
            stage.run(
                dataclasses.replace(given, path=path), "fp32", CONFIG, real_samples(convolutions()), tmp_path / "o"
            )
