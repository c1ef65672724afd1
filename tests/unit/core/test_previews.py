"""Previews: the archive of pictures beside a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.core.previews import INPUT, TARGET, Previews

RNG = np.random.default_rng(0)


def pictures() -> np.ndarray:
    return RNG.integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)


def some() -> Previews:
    return Previews(
        pictures={INPUT: pictures(), "student/int8/tensorrt": pictures()},
        names=("katze.png", "tasse.png"),
        source="two images",
        target=pictures(),
        texts={TARGET: ("cat", "cup"), "student/int8/tensorrt": ("cat", "spoon 0.93")},
        legend=(("sky", (0, 0, 255)), ("road", (90, 90, 90))),
    )


def assert_equal(found: Previews, expected: Previews) -> None:
    assert list(found.pictures) == list(expected.pictures)
    for label, array in expected.pictures.items():
        np.testing.assert_array_equal(found.pictures[label], array)
        assert found.pictures[label].dtype == np.uint8
    assert (found.names, found.source, found.texts) == (expected.names, expected.source, expected.texts)
    assert found.legend == expected.legend
    assert (found.target is None) == (expected.target is None)
    if expected.target is not None:
        np.testing.assert_array_equal(found.target, expected.target)


@pytest.mark.parametrize("changes", [{}, {"target": None}, {"texts": {}}, {"legend": ()}])
def test_previews_read_back(tmp_path: Path, changes: dict[str, Any]) -> None:
    previews = replace(some(), **changes)
    previews.save(tmp_path / "pictures.npz")
    assert_equal(Previews.load(tmp_path / "pictures.npz"), previews)
    assert len(previews) == 2


def _npz(**members: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **members)


_HEAD = {"names": np.array(["a", "b"]), "source": np.array("s")}


def test_archives_of_old_results_are_read(tmp_path: Path) -> None:
    """Up to result schema 4 the ground truth was called "truth"."""
    path = tmp_path / "pictures.npz"
    found, truth = pictures(), pictures()
    texts = {"text/truth": np.array(["cat", "cup"]), "text/input": np.array(["cat", "cat"])}
    _npz(**{**_HEAD, "input/input": found, "truth": truth, **texts})(path)
    previews = Previews.load(path)
    np.testing.assert_array_equal(previews.target, truth)
    assert previews.texts == {TARGET: ("cat", "cup"), INPUT: ("cat", "cat")}


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "FileNotFoundError"),
        (lambda path: path.write_text("hello"), "holds no previews"),
        (_npz(x=np.ones(3)), "KeyError"),
        (_npz(**_HEAD), "holds no previews"),
        (_npz(**{**_HEAD, "names": np.array([], str), "input/x": np.ones((0, 2, 2, 3))}), "holds no previews"),
        (_npz(**{**_HEAD, "input/x": np.ones((3, 2, 2, 3))}), "not one for each of its 2 names"),
        (_npz(**{**_HEAD, "input/x": np.array(1.0)}), "not one for each of its 2 names"),
        (_npz(**{**_HEAD, "input/x": np.array([{}, {}])}), "allow_pickle"),
        (_npz(**{**_HEAD, "input/x": np.ones((2, 2, 2, 3)), "legend": np.array(["sky"])}), "KeyError"),
        (
            _npz(
                **{**_HEAD, "input/x": np.ones((2, 2, 2, 3))},
                legend=np.array(["sky", "road"]),
                colours=np.zeros((1, 3), np.uint8),
            ),
            "ValueError",
        ),
    ],
)
def test_a_file_that_holds_no_previews(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "pictures.npz"
    write(path)
    with pytest.raises(InputError, match=says):
        Previews.load(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        some().save(tmp_path / "file" / "pictures.npz")
