"""Every backend keeps the contract of ``core.protocols``; one without its library or GPU is skipped, and says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.core import family
from edgekd.core.errors import EdgeKDError, InputError, MachineError, MissingDependency
from edgekd.core.protocols import Backend, Session
from tests.unit.backends import tiny

PARITY = 1e-2  # a GPU may multiply float32 in TF32: ten bits of mantissa, sixteen products


@pytest.fixture(scope="module", params=family.names("backends"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def backend(name: str) -> Backend:
    try:
        return family.load("backends", name).BACKEND  # type: ignore[no-any-return]
    except MissingDependency as err:
        pytest.skip(str(err))


@pytest.fixture(scope="module")
def engine(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(backend, tiny.write_conv(tmp_path_factory.mktemp("static") / "tiny.onnx"), tiny.INPUT)


@pytest.fixture
def session(backend: Backend, engine: Path) -> Session:
    return _open(backend, engine)


def _build(backend: Backend, onnx: Path, *inputs: tiny.TensorSpec) -> Path:
    engine = onnx.with_suffix(".engine")
    try:
        report = backend.build(onnx, inputs, engine, threads=1)
    except MachineError as err:
        if "needs an NVIDIA GPU" in str(err):
            pytest.skip(str(err))
        raise
    assert report.summary
    return engine


def _open(backend: Backend, engine: Path) -> Session:
    try:
        return backend.open(engine, threads=1)
    except MachineError as err:
        if "needs an NVIDIA GPU" in str(err):
            pytest.skip(str(err))
        raise


def test_says_what_it_depends_on(backend: Backend) -> None:
    assert isinstance(backend.notice, str)
    assert all(family.version_of(library) for library in backend.libraries)


def test_build_writes_an_engine(engine: Path) -> None:
    assert engine.stat().st_size > 0


def test_session_describes_its_tensors(session: Session) -> None:
    assert session.inputs == (tiny.INPUT,)
    assert [spec.dtype for spec in session.outputs] == ["float32"]


def test_outputs_have_the_shapes_and_dtypes_it_describes(session: Session) -> None:
    outputs = session.run(tiny.feed())
    assert list(outputs) == [spec.name for spec in session.outputs]
    for spec in session.outputs:
        assert outputs[spec.name].shape == spec.shape
        assert outputs[spec.name].dtype.name == spec.dtype


def test_numbers_are_the_network_s(session: Session, name: str) -> None:
    if name == "null":
        assert not any(array.any() for array in session.run(tiny.feed()).values())
    else:
        feed = tiny.feed()
        np.testing.assert_allclose(session.run(feed)["y"], tiny.expected(feed["x"]), atol=PARITY)


def test_same_in_same_out(session: Session) -> None:
    first, second = session.run(tiny.feed()), session.run(tiny.feed())
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


def test_arrays_are_the_caller_s(session: Session) -> None:
    kept = session.run(tiny.feed(0))
    copies = {key: array.copy() for key, array in kept.items()}
    other = session.run(tiny.feed(1))
    for key, array in kept.items():
        np.testing.assert_array_equal(array, copies[key])
        array[...] = 7
        assert not np.shares_memory(array, other[key])
    again = session.run(tiny.feed(0))
    for key, copy in copies.items():
        np.testing.assert_array_equal(again[key], copy)


def test_feeds_are_left_alone(session: Session) -> None:
    feed = tiny.feed()
    session.run(feed)
    np.testing.assert_array_equal(feed["x"], tiny.feed()["x"])


def test_closes_twice(backend: Backend, engine: Path) -> None:
    session = _open(backend, engine)
    session.close()
    session.close()
    assert len(session.inputs) > 0  # what it was can still be asked


def test_two_sessions_at_once(backend: Backend, engine: Path, session: Session) -> None:
    other = _open(backend, engine)
    first, second = session.run(tiny.feed()), other.run(tiny.feed())
    other.close()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
        np.testing.assert_array_equal(session.run(tiny.feed())[key], first[key])


@pytest.mark.parametrize(
    ("feed", "words"),
    [
        ({}, "'x' was not fed"),
        ({"X": tiny.feed()["x"]}, "unknown input 'X'; the engine takes x"),
        ({**tiny.feed(), "z": np.zeros(1, np.float32)}, "unknown input 'z'"),
        ({"x": tiny.feed()["x"].astype(np.float64)}, "float64; an array of float32"),
        ({"x": tiny.feed(batch=2)["x"]}, "[2, 16, 8, 8]"),
        ({"x": tiny.feed()["x"][0]}, "[16, 8, 8]"),
        ({"x": tiny.feed()["x"].tolist()}, "list; an array"),
    ],
    ids=["nothing", "case", "extra", "dtype", "shape", "rank", "list"],
)
def test_wrong_feeds_are_named(session: Session, feed: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError) as error:
        session.run(feed)
    assert words in str(error.value)


def test_dynamic_dimension_takes_every_size_in_its_range(backend: Backend, name: str, tmp_path: Path) -> None:
    onnx = tiny.write_conv(tmp_path / "dynamic.onnx", batch="batch")
    session = _open(backend, _build(backend, onnx, tiny.DYNAMIC_INPUT))
    for batch in (1, 4, 2):
        feed = tiny.feed(batch=batch)
        (output,) = session.run(feed).values()
        assert output.shape == (batch, *tiny.INPUT.shape[1:])
        if name != "null":
            np.testing.assert_allclose(output, tiny.expected(feed["x"]), atol=PARITY)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"not an engine"], ids=["empty", "zeros", "text"])
def test_what_is_not_an_engine_is_refused_in_one_line(backend: Backend, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.engine"
    path.write_bytes(content)
    with pytest.raises(EdgeKDError) as error:
        backend.open(path)
    assert "\n" not in str(error.value)


def test_a_profiled_session_gives_the_same_numbers_and_every_node_s_time(
    backend: Backend, name: str, engine: Path, session: Session
) -> None:
    if not hasattr(backend, "open_profiled"):
        pytest.skip(f"{name} times no nodes")
    profiled = backend.open_profiled(engine, threads=1)
    for _ in range(3):
        found = profiled.run(tiny.feed())
    for key, array in session.run(tiny.feed()).items():
        np.testing.assert_array_equal(found[key], array)
    nodes = profiled.nodes()
    assert [len(node.times_ms) for node in nodes] == [3] * len(nodes)
    assert any("conv" in f"{node.name} {node.op}".lower() for node in nodes)
    assert all(time_ms >= 0 for node in nodes for time_ms in node.times_ms)
    assert sum(time_ms for node in nodes for time_ms in node.times_ms) > 0
    profiled.close()
    profiled.close()
