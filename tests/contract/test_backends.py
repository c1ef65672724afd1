"""Every backend keeps the contract of ``core.protocols``; one without its library or GPU is skipped, and says why.

The contract also runs on a backend that is only added by this test, as a file in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekd.backends._driver import require_driver
from edgekd.core import family
from edgekd.core.artifact import Artifact, publish, read_artifact
from edgekd.core.errors import EdgeKDError, InputError, MachineError, MissingDependency
from edgekd.core.protocols import Backend, GpuBackend, ProfilingBackend, Session, TimedSession
from edgekd.machine.doctor import doctor
from edgekd.runtime import build
from tests.contract.new_member import new_member
from tests.unit.backends import tiny

PARITY = 1e-2  # a GPU may multiply float32 in TF32: ten bits of mantissa, sixteen products

NEW = "ones"
ANOTHER = "more_ones"  # NEW may be there still: its fixture lasts as long as the module
NEW_SOURCE = '''
"""A backend that returns ones: what a new file in edgekd/backends/ must contain."""

import json

import numpy as np

from edgekd.backends._feeds import check_feeds
from edgekd.core.errors import IntegrityError
from edgekd.core.protocols import BuildReport
from edgekd.core.tensor import TensorSpec

LIBRARIES = ("numpy",)


class Session:
    def __init__(self, inputs):
        self.inputs = self.outputs = inputs

    def run(self, feeds):
        check_feeds(feeds, self.inputs)
        return {name: np.ones_like(array) for name, array in feeds.items()}

    def close(self):
        pass


class Ones:
    device = "cpu"
    libraries = LIBRARIES
    caveat = "returns ones"

    def build(self, onnx, inputs, engine, *, threads=0):
        engine.write_text(json.dumps([spec.to_json() for spec in inputs]))
        return BuildReport(f"{len(inputs)} inputs", {"ones": len(inputs)})

    def open(self, engine, *, threads=0):
        try:
            return Session(tuple(map(TensorSpec.from_json, json.loads(engine.read_bytes()))))
        except ValueError as err:
            raise IntegrityError(f"{engine} is not an engine of this backend") from err


BACKEND = Ones()
'''


@pytest.fixture(scope="module", params=[*family.names("backends"), NEW])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param != NEW:
        yield request.param
        return
    with new_member("backends", NEW, NEW_SOURCE, tmp_path_factory.mktemp("backends")):
        yield NEW


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
    except MachineError:
        _skip_without_gpu(backend)
        raise
    assert report.summary
    return engine


def _open(backend: Backend, engine: Path) -> Session:
    try:
        return backend.open(engine, threads=1)
    except MachineError:
        _skip_without_gpu(backend)
        raise


def _skip_without_gpu(backend: Backend) -> None:
    if backend.device == "gpu":
        try:
            require_driver("this test")
        except MachineError as err:
            pytest.skip(str(err))


def _computes(backend: Backend, session: Session) -> bool:
    """Return whether outputs depend on the feeds; a backend whose outputs do not must say so in its caveat."""
    (first,), (second,) = (session.run(tiny.feed(seed)).values() for seed in (0, 1))
    is_constant = bool((first == second).all())
    assert backend.caveat or not is_constant
    return not is_constant


def test_declares_its_device_its_libraries_and_its_caveat(backend: Backend) -> None:
    assert backend.device in ("cpu", "gpu")
    assert isinstance(backend.caveat, str)
    assert all(family.version_of(library) for library in backend.libraries)
    assert isinstance(backend, GpuBackend) == (backend.device == "gpu")


def test_a_gpu_backend_declares_trtexec_s_three_flags(backend: Backend) -> None:
    if not isinstance(backend, GpuBackend):
        pytest.skip("runs on the CPU")
    assert set(backend.gpu_timing) == {"cuda_graph", "spin_wait", "transfers"}


def test_a_gpu_session_times_the_device(backend: Backend, session: Session) -> None:
    assert isinstance(session, TimedSession) == (backend.device == "gpu")


def test_the_build_stage_makes_an_artifact_with_it(backend: Backend, name: str, tmp_path: Path) -> None:
    source = tiny.write_conv(tmp_path / "tiny.onnx")
    given = publish(
        Artifact("onnx", tmp_path / "given.onnx", inputs=(tiny.INPUT,), outputs=(tiny.OUTPUT,)), source.read_bytes()
    )
    try:
        made = build.run(given, name, tmp_path / "tiny.engine", threads=1)
    except MachineError:
        _skip_without_gpu(backend)
        raise
    assert read_artifact(made.path) == made
    assert made.facts["backend"] == name
    assert set(backend.libraries) <= set(made.made_by.versions)


def test_doctor_lists_it(backend: Backend, name: str) -> None:
    found = doctor()["backends"]
    assert set(found) == set(family.names("backends"))
    assert (found[name]["loads"], found[name]["caveat"]) == (True, backend.caveat)
    assert set(found[name]["versions"]) == set(backend.libraries)


def test_a_new_file_needs_no_other(tmp_path: Path) -> None:
    known = family.names("backends")
    with new_member("backends", ANOTHER, NEW_SOURCE, tmp_path):
        assert family.names("backends") == sorted([*known, ANOTHER])
        given = publish(Artifact("onnx", tmp_path / "net.onnx", inputs=(tiny.INPUT,), outputs=()), b"any")
        made = build.run(given, ANOTHER, tmp_path / "net.engine")
        assert made.facts["ones"] == 1
        output = family.load("backends", ANOTHER).BACKEND.open(made.path).run(tiny.feed())["x"]
        np.testing.assert_array_equal(output, np.ones(tiny.INPUT.at("opt"), np.float32))
    assert family.names("backends") == known


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


def test_numbers_are_the_network_s(backend: Backend, session: Session) -> None:
    if _computes(backend, session):
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


def test_dynamic_dimension_takes_every_size_in_its_range(backend: Backend, tmp_path: Path) -> None:
    onnx = tiny.write_conv(tmp_path / "dynamic.onnx", batch="batch")
    session = _open(backend, _build(backend, onnx, tiny.DYNAMIC_INPUT))
    computes = _computes(backend, session)
    for batch in (1, 4, 2):
        feed = tiny.feed(batch=batch)
        (output,) = session.run(feed).values()
        assert output.shape == (batch, *tiny.INPUT.shape[1:])
        if computes:
            np.testing.assert_allclose(output, tiny.expected(feed["x"]), atol=PARITY)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"not an engine"], ids=["empty", "zeros", "text"])
def test_what_is_not_an_engine_is_refused_in_one_line(backend: Backend, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.engine"
    path.write_bytes(content)
    with pytest.raises(EdgeKDError) as error:
        backend.open(path)
    assert "\n" not in str(error.value)


def test_a_profiled_session_gives_the_same_numbers_and_every_node_s_time(
    backend: Backend, engine: Path, session: Session
) -> None:
    if not isinstance(backend, ProfilingBackend):
        pytest.skip("this backend does not time nodes")
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
