"""Every quantization scheme: equal input gives equal output, the signature stays, and its options are its own."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekd.core import provenance
from edgekd.core.artifact import Artifact, current, read_artifact
from edgekd.core.config import QuantizeConfig
from edgekd.core.errors import RecipeError
from edgekd.core.family import constant, load, names, version_of
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import Samples
from edgekd.graph.evaluate import Evaluator
from edgekd.graph.model import load_onnx, specs
from edgekd.quantize import stage
from edgekd.quantize.scheme import Context
from tests.unit.graph.networks import artifact_of, convolutions, real_samples
from tests.unit.quantize.new_schemes import SHORT_MANTISSA, WatchedSamples, scheme_file

NEW = "short_mantissa"
NETWORK = NetworkInfo(role="student", title="a_from_b", task="classification", task_options={"top": 5})


@pytest.fixture(params=[*names("quantize.schemes"), NEW])
def scheme(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Each scheme of the family, and one that this test adds: a file in a folder, nothing else is edited."""
    folder = tmp_path / "schemes"
    folder.mkdir()
    is_new = request.param == NEW
    with scheme_file(folder, NEW, SHORT_MANTISSA) if is_new else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def given(tmp_path: Path) -> Artifact:
    return dataclasses.replace(artifact_of(convolutions(), tmp_path / "in.onnx"), network=NETWORK)


def config_of(scheme: str, options: Mapping[str, Any] | None = None, **fields: Any) -> QuantizeConfig:
    return QuantizeConfig(options={scheme: options or {}}, **fields)


def outputs_of(path: Path, count: int = 4) -> list[np.ndarray]:
    evaluate, samples = Evaluator(path), real_samples(convolutions())
    return [evaluate(samples[index].feeds)["scores"] for index in range(count)]


def snr_db(expected: np.ndarray, found: np.ndarray) -> float:
    noise = max(float(np.sum((expected - found) ** 2)), 1e-30)
    return 10 * float(np.log10(float(np.sum(expected**2)) / noise))


def test_the_family_lists_the_new_scheme(scheme: str) -> None:
    assert scheme in names("quantize.schemes")


def test_constants_are_literals_and_name_installed_libraries(scheme: str) -> None:
    member = load("quantize.schemes", scheme)
    assert constant("quantize.schemes", scheme, "LIBRARIES") == member.LIBRARIES
    assert member.LIBRARIES
    assert [library for library in member.LIBRARIES if version_of(library) is None] == []


def test_options_have_defaults_and_unknown_ones_are_refused(scheme: str, given: Artifact, tmp_path: Path) -> None:
    member = load("quantize.schemes", scheme)
    assert dataclasses.is_dataclass(member.Config)
    assert member.Config() == member.Config()
    out = tmp_path / "out.onnx"
    with pytest.raises(RecipeError, match=rf"quantize\.options\.{scheme}\.no_such_option"):
        stage.run(given, scheme, config_of(scheme, {"no_such_option": 1}), real_samples(convolutions()), out)
    assert not out.exists()


def test_a_number_option_has_bounds(scheme: str, given: Artifact, tmp_path: Path) -> None:
    defaults = load("quantize.schemes", scheme).Config()
    for field in dataclasses.fields(defaults):
        if isinstance(getattr(defaults, field.name), (int, float)):
            config = config_of(scheme, {field.name: -(10**9)})
            with pytest.raises(RecipeError, match=field.name):
                stage.run(given, scheme, config, real_samples(convolutions()), tmp_path / "out.onnx")


def test_the_graph_keeps_its_signature_and_metadata(scheme: str, given: Artifact, tmp_path: Path) -> None:
    made = stage.run(given, scheme, config_of(scheme), real_samples(convolutions()), tmp_path / "out.onnx")
    model = load_onnx(made.path)
    assert specs(model) == specs(convolutions()) == (made.inputs, made.outputs)
    assert [(entry.key, entry.value) for entry in model.metadata_props] == [("edgekd.pair", "a_from_b")]
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)


def test_equal_input_gives_equal_bytes_and_the_input_stays(scheme: str, given: Artifact, tmp_path: Path) -> None:
    before = given.path.read_bytes()
    made, again = (
        stage.run(given, scheme, config_of(scheme), real_samples(convolutions()), tmp_path / name)
        for name in ("out.onnx", "again.onnx")
    )
    assert made.path.read_bytes() == again.path.read_bytes()
    assert given.path.read_bytes() == before


def test_the_model_it_is_given_is_not_changed(scheme: str, given: Artifact) -> None:
    member, model = load("quantize.schemes", scheme), convolutions()
    before = model.SerializeToString(deterministic=True)
    member.quantize(model, member.Config(), Context(given.path, real_samples(model)))
    assert model.SerializeToString(deterministic=True) == before


def test_the_manifest_says_what_it_is_and_what_it_was_made_from(scheme: str, given: Artifact, tmp_path: Path) -> None:
    samples, config = real_samples(convolutions()), config_of(scheme)
    made = stage.run(given, scheme, config, samples, tmp_path / "out.onnx")
    assert read_artifact(made.path) == made
    assert made.made_by == provenance.quantize(given.sha256, scheme, config, samples.digest)
    assert made.network is not None
    assert made.network.precision == scheme
    assert dataclasses.replace(made.network, precision=NETWORK.precision, cost={}) == NETWORK
    assert made.facts["compared_on"] == samples.source
    assert made.facts["summary"]


def test_the_difference_in_the_manifest_is_the_one_that_can_be_measured(
    scheme: str, given: Artifact, tmp_path: Path
) -> None:
    made = stage.run(given, scheme, config_of(scheme), real_samples(convolutions()), tmp_path / "out.onnx")
    pairs = zip(outputs_of(given.path), outputs_of(made.path), strict=True)
    worst_db = min(snr_db(expected, found) for expected, found in pairs)
    recorded_db = made.facts["difference"]["scores"]["snr_db"]
    assert worst_db >= stage.MIN_SNR_DB
    if recorded_db is None:
        assert worst_db > 200
    else:
        # A scheme may compare a simulation, which rounds more than this CPU does.
        assert stage.MIN_SNR_DB <= recorded_db <= worst_db + 3


def test_with_every_node_excluded_the_numbers_are_those_of_the_input(
    scheme: str, given: Artifact, tmp_path: Path
) -> None:
    nodes = tuple(node.name for node in convolutions().graph.node)
    config = config_of(scheme, exclude_nodes=nodes)
    made = stage.run(given, scheme, config, real_samples(convolutions()), tmp_path / "out.onnx")
    for expected, found in zip(outputs_of(given.path), outputs_of(made.path), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_other_samples_are_another_comparison(scheme: str, given: Artifact, tmp_path: Path) -> None:
    samples = real_samples(convolutions())
    other = Samples.of({"picture": np.stack([3 * sample.feeds["picture"] for sample in samples])}, "brighter images")
    made = stage.run(given, scheme, config_of(scheme), samples, tmp_path / "out.onnx")
    again = provenance.quantize(given.sha256, scheme, config_of(scheme), other.digest)
    assert current(made.path, made.made_by) is not None
    assert current(made.path, again) is None


def test_options_and_excluded_nodes_change_the_provenance_and_other_schemes_options_do_not(scheme: str) -> None:
    plain = provenance.quantize("ab" * 32, scheme, QuantizeConfig(), "cd" * 32)
    assert plain.stage == "quantize"
    assert plain == provenance.quantize("ab" * 32, scheme, config_of("another", {"x": 1}), "cd" * 32)
    assert plain == provenance.quantize("ab" * 32, scheme, QuantizeConfig(schemes=(scheme,)), "cd" * 32)
    for other in (config_of(scheme, {"x": 1}), QuantizeConfig(exclude_nodes=("first",))):
        assert plain != provenance.quantize("ab" * 32, scheme, other, "cd" * 32)
    assert plain != provenance.quantize("ef" * 32, scheme, QuantizeConfig(), "cd" * 32)
    assert set(plain.versions) == {"edgekd", *load("quantize.schemes", scheme).LIBRARIES}


def test_one_sample_is_in_memory_at_a_time(scheme: str, given: Artifact, tmp_path: Path) -> None:
    watched = WatchedSamples(real_samples(convolutions(), 24))
    stage.run(given, scheme, config_of(scheme), watched, tmp_path / "out.onnx")
    assert watched.reads
    # The reader's and the one that onnxruntime or the loop has not let go yet.
    assert watched.most_alive <= 2


def test_provenance_imports_no_library_of_any_scheme() -> None:
    code = (
        "import sys\n"
        "from edgekd.core import family, provenance\n"
        "from edgekd.core.config import QuantizeConfig\n"
        "for scheme in family.names('quantize.schemes'):\n"
        "    provenance.quantize('a', scheme, QuantizeConfig(), 'b')\n"
        "print([name for name in sys.modules if name.startswith(('onnx', 'edgekd.quantize.schemes.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
