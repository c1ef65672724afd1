"""Samples: the archive that travels to a board."""

from __future__ import annotations

import contextlib
import gc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.core.samples import Samples


def some(**changes: Any) -> Samples:
    """Make two samples of two inputs."""
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        "inputs": {"x": rng.random((2, 1, 3, 4)).astype(np.float32), "a/b:0": np.array([[1], [2]], np.int64)},
        "names": ("grün.png", "b.png"),
        "source": "made in a test",
        "truth": rng.integers(0, 255, (2, 4, 4, 3), dtype=np.uint8),
        "seen": None,
    }
    return Samples(**{**fields, **changes})


@pytest.mark.parametrize("seen", [None, np.ones((2, 2), np.uint8)])
def test_round_trip(tmp_path: Path, seen: Any) -> None:
    samples = some(seen=seen)
    samples.save(tmp_path / "s.npz")
    again = Samples.load(tmp_path / "s.npz")
    assert (again.names, again.source, len(again)) == (samples.names, samples.source, 2)
    assert list(again.inputs) == ["x", "a/b:0"]
    for name, array in samples.inputs.items():
        np.testing.assert_array_equal(again.inputs[name], array)
        assert again.inputs[name].dtype == array.dtype
    np.testing.assert_array_equal(again.truth, samples.truth)
    assert (again.seen is None) == (seen is None)


def test_feeds_are_one_sample_with_its_batch_axis() -> None:
    feeds = some().feeds(1)
    assert feeds["x"].shape == (1, 3, 4)
    assert feeds["a/b:0"] == [2]


def _archive(**arrays: Any) -> Any:
    return lambda path: np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "FileNotFoundError"),
        (lambda path: path.write_bytes(b""), "not an edgekd samples archive"),
        (lambda path: path.write_text("hello"), "not an edgekd samples archive"),
        (_archive(x=np.ones(3)), "KeyError"),
        (_archive(names=np.array(["a"]), source=np.array("s")), "holds no samples"),
        (
            _archive(**{"names": np.array(["a"]), "source": np.array("s"), "input/x": np.ones((2, 3))}),
            "not one of every input",
        ),
        (
            _archive(**{"names": np.array([], str), "source": np.array("s"), "input/x": np.ones((0, 3))}),
            "holds no samples",
        ),
        (_archive(**{"names": np.array("a"), "source": np.array("s"), "input/x": np.ones((1, 3))}), "TypeError"),
        # An object array would have to be unpickled, and a pickle can run code.
        (_archive(**{"names": np.array(["a"]), "source": np.array("s"), "input/x": np.array([{}])}), "allow_pickle"),
    ],
)
def test_an_archive_that_is_none(tmp_path: Path, write: Any, says: str) -> None:
    path = tmp_path / "s.npz"
    write(path)
    with pytest.raises(InputError, match=says):
        Samples.load(path)


def test_an_input_that_is_a_scalar(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    _archive(**{"names": np.array(["a"]), "source": np.array("s"), "input/x": np.array(1.0)})(path)
    with pytest.raises(InputError):
        Samples.load(path)


def test_a_broken_archive_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(b"PK\x03\x04 cut short")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with contextlib.suppress(InputError):
            Samples.load(path)
        gc.collect()
    assert [str(warning.message) for warning in said] == []
