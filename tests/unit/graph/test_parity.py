"""How far two graphs' outputs are apart: magnitudes, probabilities, labels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgekd.core.errors import ParityError
from edgekd.core.numerics import Difference
from edgekd.graph.parity import compare, describe_change, output_kinds, parity_summary, to_facts
from tests.unit.graph.networks import convolutions, parse

VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8)


def one(*values: float) -> list[dict[str, np.ndarray]]:
    return [{"y": np.array(values)}]


def test_a_probability_is_compared_against_one() -> None:
    tiny, double = [{"p": np.full(4, 1e-6)}], [{"p": np.full(4, 2e-6)}]
    assert compare(tiny, double, {})["p"].relative == pytest.approx(1)
    as_probability = compare(tiny, double, {"p": "probability"})["p"]
    assert as_probability.relative == pytest.approx(1e-6)
    assert as_probability.snr_db == pytest.approx(120)


def test_a_large_probability_is_not_made_worse_by_its_full_scale() -> None:
    plain = compare(one(0.5, 100.0), one(0.5, 100.1), {})["y"]
    assert compare(one(0.5, 100.0), one(0.5, 100.1), {"y": "probability"})["y"] == plain


def test_equal_probabilities_have_no_noise() -> None:
    assert compare(one(0.0), one(0.0), {"y": "probability"})["y"] == Difference(0, 0, math.inf)


def test_the_worst_feed_counts() -> None:
    same, off = {"y": np.array([1.0])}, {"y": np.array([1.5])}
    assert compare([same, same, same], [same, off, same], {})["y"].relative == 0.5


def test_a_feed_with_nan_is_the_worst_wherever_it_comes() -> None:
    same, lost = {"y": np.array([1.0])}, {"y": np.array([np.nan])}
    for found in ([lost, same, same], [same, lost, same], [same, same, lost]):
        assert compare([same] * 3, found, {})["y"].relative == math.inf


def test_each_output_has_its_own_worst_feed() -> None:
    expected = [{"a": np.array([1.0]), "b": np.array([1.0])}] * 2
    found = [{"a": np.array([1.1]), "b": np.array([1.0])}, {"a": np.array([1.0]), "b": np.array([1.2])}]
    relative = {name: difference.relative for name, difference in compare(expected, found, {}).items()}
    assert relative == {"a": pytest.approx(0.1), "b": pytest.approx(0.2)}


def test_other_outputs_are_refused() -> None:
    with pytest.raises(ParityError, match="outputs z; y were expected"):
        compare(one(1.0), [{"z": np.array([1.0])}], {})


def test_another_number_of_feeds_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare(one(1.0) * 2, one(1.0), {})


def test_feeds_are_taken_one_by_one() -> None:
    pulled: list[str] = []

    def outputs(name: str):
        for _ in range(3):
            pulled.append(name)
            yield {"y": np.array([1.0])}

    compare(outputs("expected"), outputs("found"), {})
    assert pulled == ["expected", "found"] * 3


@settings(deadline=None, max_examples=50)
@given(values=VALUES, kind=st.sampled_from([None, "probability", "label"]))
def test_a_graph_is_equal_to_itself(values: list[float], kind) -> None:
    kinds = {"y": kind} if kind else {}
    assert compare(one(*values), one(*values), kinds)["y"] == Difference(0, 0, math.inf)


@settings(deadline=None, max_examples=50)
@given(values=VALUES, noise=VALUES, scale=st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**10]))
def test_the_scale_of_a_magnitude_does_not_matter(values: list[float], noise: list[float], scale: float) -> None:
    count = min(len(values), len(noise))
    expected, found = np.array(values[:count]), np.array(values[:count]) + np.array(noise[:count])
    plain = compare([{"y": expected}], [{"y": found}], {})["y"]
    scaled = compare([{"y": expected * scale}], [{"y": found * scale}], {})["y"]
    assert scaled.relative == pytest.approx(plain.relative)
    assert scaled.snr_db == pytest.approx(plain.snr_db)


@settings(deadline=None, max_examples=50)
@given(values=VALUES, noise=st.floats(1e-6, 1))
def test_a_probability_is_never_further_off_than_a_magnitude(values: list[float], noise: float) -> None:
    found = one(*(value + noise for value in values))
    magnitude = compare(one(*values), found, {})["y"]
    probability = compare(one(*values), found, {"y": "probability"})["y"]
    assert probability.relative <= magnitude.relative
    assert probability.snr_db >= magnitude.snr_db
    assert probability.max_abs == magnitude.max_abs


def test_labels_are_counted_not_subtracted() -> None:
    labels = np.arange(200) % 10
    other = labels.copy()
    other[7] = 0
    measured = compare([{"y": labels}], [{"y": other}], {"y": "label"})["y"]
    assert (measured.relative, measured.max_abs) == (0.005, 0.005)
    assert measured.snr_db == pytest.approx(20)
    assert compare([{"y": labels}], [{"y": other}], {})["y"].relative > 0.5


def test_the_snr_of_labels_is_that_of_their_one_hot_encoding() -> None:
    rng = np.random.default_rng(0)
    labels, other = rng.integers(0, 4, 100), rng.integers(0, 4, 100)
    one_hot, other_one_hot = np.eye(4)[labels], np.eye(4)[other]
    expected_db = 10 * math.log10(np.sum(one_hot**2) / np.sum((one_hot - other_one_hot) ** 2))
    assert compare([{"y": labels}], [{"y": other}], {"y": "label"})["y"].snr_db == pytest.approx(expected_db)


def test_labels_are_averaged_over_all_feeds() -> None:
    labels = np.arange(200) % 10
    other = labels.copy()
    other[7] = 0
    found = compare([{"y": labels}] * 2, [{"y": labels}, {"y": other}], {"y": "label"})
    assert found["y"].relative == 0.0025


def test_labels_of_another_shape_are_lost_and_no_labels_are_equal() -> None:
    labels = np.arange(10)
    assert compare([{"y": labels}], [{"y": labels[1:]}], {"y": "label"})["y"].relative == math.inf
    assert compare([{"y": labels[:0]}], [{"y": labels[:0]}], {"y": "label"})["y"].relative == 0


def test_facts_are_json_without_infinity() -> None:
    facts = to_facts({"exact": Difference(0, 0, math.inf), "lost": Difference(3, math.inf, -math.inf)})
    assert facts["exact"] == {"max_abs": 0, "relative": 0, "snr_db": None}
    assert facts["lost"] == {"max_abs": 3, "relative": None, "snr_db": None}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_summary_names_the_noisiest_output() -> None:
    facts = to_facts({"a": Difference(1, 1, 30.04), "b": Difference(1, 1, 45), "c": Difference(0, 0, math.inf)})
    assert parity_summary(facts) == "outputs at 30.0 dB SNR"
    assert parity_summary(to_facts({"c": Difference(0, 0, math.inf)})) == "outputs bit-identical"


def test_a_change_is_described_in_the_outputs_own_terms() -> None:
    measured = Difference(0.005, 0.005, 20)
    assert describe_change("y", measured, {"y": "label"}) == "changed 0.5 % of the labels of output 'y'"
    assert describe_change("y", measured, {}) == "changed output 'y' by 0.005 of its peak"
    assert describe_change("y", measured, {"z": "label"}) == describe_change("y", measured, {})


def test_outputs_without_a_kind_are_magnitudes() -> None:
    assert output_kinds(convolutions()) == {}


@pytest.mark.parametrize(
    ("operator", "kind"),
    [("Softmax", "probability"), ("Sigmoid", "probability"), ("HardSigmoid", "probability"), ("Relu", None)],
)
def test_probabilities_are_found_by_their_operator(operator: str, kind: str | None) -> None:
    model = parse(f"net (float[1,4] x) => (float[1,4] y) {{ a = Neg (x) y = {operator} (a) }}")
    assert output_kinds(model).get("y") == kind


def test_kinds_are_found_through_casts_and_reshapes() -> None:
    model = parse(
        "net (float[2,3] x) => (double[3,2] p, int32[2] best) <int64[2] s = {3, 2}> {"
        " a = Softmax (x) b = Identity (a) c = Reshape (b, s) p = Cast <to = 11> (c)"
        " d = ArgMax <axis = 1> (x) e = Squeeze (d) best = Cast <to = 6> (e) }"
    )
    assert output_kinds(model) == {"p": "probability", "best": "label"}


def test_a_bool_output_is_a_label_and_a_passed_on_input_is_nothing() -> None:
    model = parse("net (float[2] x, float[2] z) => (bool[2] y, float[2] w) { y = Greater (x, z) w = Identity (x) }")
    assert output_kinds(model) == {"y": "label"}


def test_a_label_that_was_calculated_with_is_a_magnitude() -> None:
    model = parse("net (float[1,4] x) => (int64[1] y) { a = ArgMax <axis = 1, keepdims = 0> (x) y = Neg (a) }")
    assert output_kinds(model) == {}
    model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.INT64, [1]))
    assert output_kinds(model) == {"a": "label"}
