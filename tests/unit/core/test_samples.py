"""Samples in memory and in the archive that travels to a board."""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekd.core.errors import InputError
from edgekd.core.samples import Sample, SampleArchive, Samples, SampleSource, write_archive

NAMES = ("grün.png", "b.png")


def some(*, target: bool = True, image: bool = True) -> Samples:
    """Make two samples of two inputs; one input's name contains a slash."""
    rng = np.random.default_rng(0)
    samples = []
    for number, name in enumerate(NAMES):
        feeds = {"x": rng.random((1, 3, 4)).astype(np.float32), "a/b:0": np.array([number], np.int64)}
        truth = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        shown = rng.integers(0, 255, (2, 2, 3), dtype=np.uint8)
        samples.append(Sample(name, feeds, truth if target else None, shown if image else None))
    return Samples(tuple(samples), "made in a test", "shipped")


def assert_equal(found: Sample, expected: Sample) -> None:
    assert (found.name, set(found.feeds)) == (expected.name, set(expected.feeds))
    for name, array in expected.feeds.items():
        np.testing.assert_array_equal(found.feeds[name], array)
        assert found.feeds[name].dtype == array.dtype
    for one, other in ((found.target, expected.target), (found.image, expected.image)):
        assert (one is None) == (other is None)
        if other is not None:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("target", [False, True])
def test_an_archive_holds_what_was_written(tmp_path: Path, target: bool, image: bool) -> None:
    samples = some(target=target, image=image)
    archive = write_archive(tmp_path / "s.npz", samples, samples.source, samples.origin)
    for source in (archive, SampleArchive(tmp_path / "s.npz")):
        assert (source.names, source.source, source.origin, len(source)) == (NAMES, "made in a test", "shipped", 2)
        assert (source.has_target, source.has_image) == (target, image)
        for found, expected in zip(source, samples, strict=True):
            assert_equal(found, expected)
        assert_equal(source[1], samples[1])


def test_both_kinds_of_source_have_the_same_interface(tmp_path: Path) -> None:
    samples = some()
    sources: list[SampleSource] = [samples, write_archive(tmp_path / "s.npz", samples, samples.source)]
    for source in sources:
        assert (len(source), source.names, source.has_target, source.has_image) == (2, NAMES, True, True)
        assert [sample.name for sample in source] == list(NAMES)


def test_the_digest_of_a_file_is_that_of_the_same_samples_in_memory(tmp_path: Path) -> None:
    samples = some()
    assert write_archive(tmp_path / "s.npz", samples, "here").digest == samples.digest
    # Neither the ground truth nor the description is fed.
    bare = some(target=False, image=False)
    assert write_archive(tmp_path / "bare.npz", bare, "there", "user").digest == samples.digest


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(arrays.arrays(st.sampled_from([np.float32, np.uint8]), (2, 3)), min_size=1, max_size=4))
def test_every_array_has_one_digest_and_reads_back(tmp_path: Path, feeds: list[Any]) -> None:
    samples = Samples(tuple(Sample(str(i), {"x": array}) for i, array in enumerate(feeds)), "here")
    archive = write_archive(tmp_path / "s.npz", samples, "here")
    assert archive.digest == samples.digest
    for sample, array in zip(archive, feeds, strict=True):
        np.testing.assert_array_equal(sample.feeds["x"], array)


@pytest.mark.parametrize(
    "change",
    [
        lambda feeds: {"x": feeds["x"] + 1},
        lambda feeds: {"x": feeds["x"].astype(np.float64)},
        lambda feeds: {"x": feeds["x"].reshape(3, 2)},
        lambda feeds: {"y": feeds["x"]},
        lambda feeds: {**feeds, "y": feeds["x"]},
    ],
)
def test_other_feeds_have_another_digest(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    feeds = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert Samples((Sample("a", feeds),), "").digest != Samples((Sample("a", change(feeds)),), "").digest


def test_a_digest_depends_on_names_and_order_but_not_on_the_order_of_tensors() -> None:
    one, other = some().samples
    digest = Samples((one, other), "").digest
    assert Samples((other, one), "").digest != digest
    assert Samples((Sample("renamed", one.feeds), other), "").digest != digest
    turned = Sample(one.name, dict(reversed(list(one.feeds.items()))))
    assert Samples((turned, other), "").digest == digest
    transposed = Samples((Sample("a", {"x": np.arange(6).reshape(2, 3).T}),), "")
    assert transposed.digest == Samples((Sample("a", {"x": np.arange(6).reshape(2, 3).T.copy()}),), "").digest


def test_equal_samples_give_equal_files(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", some(), "here")
    write_archive(tmp_path / "b.npz", some(), "here")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_samples_of_stacked_arrays() -> None:
    samples = Samples.of({"x": np.arange(12.0).reshape(2, 1, 6), "y": np.array([[1], [2]])}, "here", "synthetic")
    assert (samples.names, samples.origin, len(samples)) == (("0", "1"), "synthetic", 2)
    np.testing.assert_array_equal(samples[1].feeds["x"], [[6, 7, 8, 9, 10, 11]])
    assert samples[1].feeds["y"] == [2]
    assert (samples.has_target, samples.has_image) == (False, False)


def test_one_sample_without_a_target_makes_a_set_without_targets(tmp_path: Path) -> None:
    mixed = Samples((some().samples[0], some(target=False).samples[1]), "here")
    archive = write_archive(tmp_path / "s.npz", mixed, "here")
    assert (mixed.has_target, archive.has_target) == (False, False)
    assert archive[0].target is None


MEGABYTE = 1 << 20


def _many(count: int) -> Iterator[Sample]:
    """Make samples of a megabyte each, one at a time."""
    for number in range(count):
        yield Sample(str(number), {"x": np.full(MEGABYTE, number % 7, np.uint8)}, np.zeros(10))


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        archive = write_archive(tmp_path / "s.npz", _many(40), "{count} samples")
        total = sum(int(sample.feeds["x"][0]) for sample in archive)
        assert archive[39].feeds["x"][0] == 39 % 7
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == sum(number % 7 for number in range(40))
    assert archive.source == "40 samples"
    # A sample, and a few copies on its way through hash, compression and decompression.
    assert peak < 8 * MEGABYTE


@pytest.mark.parametrize("index", [-1, 2, 10])
def test_an_index_out_of_range(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError, match=str(index)):
        write_archive(tmp_path / "s.npz", some(), "here")[index]


def test_no_samples_are_refused_and_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    write_archive(path, some(), "here")
    before = path.read_bytes()
    with pytest.raises(InputError, match="no samples"):
        write_archive(path, iter(()), "an empty folder")
    assert path.read_bytes() == before


def test_a_source_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    def failing() -> Iterator[Sample]:
        yield some().samples[0]
        raise RuntimeError("broken image")

    path = tmp_path / "s.npz"
    write_archive(path, some(), "here")
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="broken image"):
        write_archive(path, failing(), "there")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["s.npz"]


def _npz(**members: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **members)


_HEAD = {"names": np.array(["a"]), "source": np.array("s"), "origin": np.array("user"), "digest": np.array("d")}


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: None, "FileNotFoundError"),
        (lambda path: path.write_bytes(b""), "BadZipFile"),
        (lambda path: path.write_text("hello"), "BadZipFile"),
        (_npz(x=np.ones(3)), "KeyError"),
        (_npz(**_HEAD), "holds no samples"),
        (_npz(**{**_HEAD, "names": np.array(["a", "b"]), "input/x/0": np.ones(2)}), "not one of every input"),
        (_npz(**{**_HEAD, "names": np.array([], str), "input/x/0": np.ones(2)}), "holds no samples"),
        (_npz(**{**_HEAD, "names": np.array(3), "input/x/0": np.ones(2)}), "TypeError"),
        (_npz(**{**_HEAD, "origin": np.array("found"), "input/x/0": np.ones(2)}), "origin 'found'"),
        # An object array would have to be unpickled, and a pickle can run code.
        (_npz(**{**_HEAD, "names": np.array([{}]), "input/x/0": np.ones(2)}), "allow_pickle"),
    ],
)
def test_a_file_that_is_no_archive(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "s.npz"
    write(path)
    with pytest.raises(InputError, match=says):
        SampleArchive(path)


def test_a_sample_that_is_damaged_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    rng = np.random.default_rng(0)
    noise = [Sample(str(i), {"x": rng.integers(0, 256, 4096, np.uint8)}) for i in range(3)]
    archive = write_archive(path, noise, "here")
    data = bytearray(path.read_bytes())
    data[2000] ^= 0xFF  # inside the first sample's values
    path.write_bytes(data)
    assert len(SampleArchive(path)) == 3
    np.testing.assert_array_equal(archive[2].feeds["x"], noise[2].feeds["x"])
    with pytest.raises(InputError, match="not an edgekd samples archive"):
        archive[0]


def test_an_archive_with_an_object_array_for_an_input(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    _npz(**{**_HEAD, "input/x/0": np.array([{}])})(path)
    with pytest.raises(InputError, match="allow_pickle"):
        SampleArchive(path)[0]


def test_a_broken_archive_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(b"PK\x03\x04 cut short")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.suppress(InputError):
            SampleArchive(path)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
