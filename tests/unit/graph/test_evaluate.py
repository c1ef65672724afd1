"""Running a graph as written: feeds, outputs, and errors of one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from edgekd.core.errors import BuildError, InputError
from edgekd.graph.evaluate import Evaluator, run_onnx
from edgekd.graph.model import save_onnx
from tests.unit.graph.networks import branches, convolutions, parse, real_samples

TWO_OUTPUTS = "net (float[2] x) => (float[2] z, float[2] a) { a = Neg (x) z = Abs (x) }"


def test_a_python_scalar_is_a_feed_too() -> None:
    feeds = {"input": np.ones((1, 3), np.float32), "sr": np.int64(16000)}
    assert run_onnx(branches(), feeds)["output"].tolist() == [[2, 2, 2]]


@pytest.mark.parametrize(("rate", "factor"), [(16000, 2), (8000, -1)])
def test_one_evaluator_runs_many_feeds(rate: int, factor: int) -> None:
    evaluate, rng = Evaluator(branches()), np.random.default_rng(0)
    for length in (1, 5, 3):
        x = rng.random((2, length), np.float32)
        assert np.array_equal(evaluate({"input": x, "sr": np.array(rate)})["output"], factor * x)


def test_outputs_come_in_the_graphs_order() -> None:
    evaluate = Evaluator(parse(TWO_OUTPUTS))
    assert evaluate.output_names == ("z", "a")
    found = evaluate({"x": np.array([-1, 2], np.float32)})
    assert {name: array.tolist() for name, array in found.items()} == {"z": [1, 2], "a": [1, -2]}
    assert list(found) == ["z", "a"]


def test_a_file_gives_what_its_model_gives(tmp_path: Path) -> None:
    save_onnx(convolutions(), tmp_path / "net.onnx")
    feeds = real_samples(convolutions())[0].feeds
    expected = run_onnx(convolutions(), feeds)["scores"]
    np.testing.assert_array_equal(run_onnx(tmp_path / "net.onnx", feeds)["scores"], expected)


def test_the_graph_is_run_as_written_and_not_optimised() -> None:
    """float32 → half → float32 is not removed: 1 + 2^-12 is 1 in half."""
    model = parse("net (float[1] x) => (float[1] y) { h = Cast <to = 10> (x) y = Cast <to = 1> (h) }")
    assert run_onnx(model, {"x": np.array([1 + 2**-12], np.float32)})["y"].tolist() == [1]


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"picture": np.ones(2, np.float32)}, r"cannot be run on picture \[2\]"),
        ({"picture": np.ones((1, 3, 16, 16))}, "double"),
        ({"image": np.ones((1, 3, 16, 16), np.float32)}, "picture"),
        ({}, "picture"),
    ],
)
def test_wrong_feeds_are_named(feeds: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_onnx(convolutions(), feeds)
    assert "\n" not in str(caught.value)


def test_a_graph_that_onnxruntime_rejects_is_a_build_error() -> None:
    model = convolutions()
    model.graph.node[0].op_type = "Nonsense"
    with pytest.raises(BuildError, match=r"rejects the graph: .*Nonsense") as caught:
        run_onnx(model, {})
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_build_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"none\.onnx"):
        Evaluator(tmp_path / "none.onnx")


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    model = parse("net (float[n] x) => (float[2] y) { y = Reshape (x, s) }")
    model.graph.initializer.append(helper.make_tensor("s", 7, [1], [2]))
    with pytest.raises(InputError, match="cannot be run"):
        run_onnx(model, {"x": np.ones(3, np.float32)})
    with pytest.raises(BuildError):
        run_onnx(Path("/nowhere/net.onnx"), {})
    assert capfd.readouterr() == ("", "")
