"""onnxruntime: what a build reports, what it refuses, and that an engine stays on the machine it was built for."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgekd.backends._onnx_ops import append_metadata
from edgekd.backends.onnxruntime import BACKEND
from edgekd.core.errors import BuildError, EdgeKDError, InputError, TargetMismatch
from tests.unit.backends import tiny


def test_reports_operators_before_and_after(tmp_path: Path) -> None:
    facts = BACKEND.build(tiny.write_conv(tmp_path / "net.onnx"), (tiny.INPUT,), tmp_path / "e.engine").facts
    assert facts["ops_before"] == {"Conv": 1, "Relu": 1}
    assert facts["nodes_after"] == sum(facts["ops_after"].values())
    assert "Relu" not in facts["ops_after"]  # fused into the convolution
    assert facts["optimization"] == "all"
    assert "refused_levels" not in facts


def test_subgraphs_survive(tmp_path: Path) -> None:
    engine = tmp_path / "e.engine"
    BACKEND.build(tiny.write_if(tmp_path / "if.onnx"), (tiny.INPUT,), engine)
    feed = tiny.feed()
    assert BACKEND.open(engine, threads=1).run(feed)["y"].max() == pytest.approx(
        tiny.expected(feed["x"]).max(), rel=1e-5
    )


def test_weights_outside_the_file_come_into_the_engine(tmp_path: Path) -> None:
    source, engine = tmp_path / "a" / "net.onnx", tmp_path / "b" / "e.engine"
    source.parent.mkdir()
    engine.parent.mkdir()
    model = onnx.load(tiny.write_conv(source))
    onnx.save(model, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    BACKEND.build(source, (tiny.INPUT,), engine)
    (source.parent / "weights.bin").unlink()
    feed = tiny.feed()
    assert BACKEND.open(engine, threads=1).run(feed)["y"] == pytest.approx(tiny.expected(feed["x"]), abs=1e-5)


def test_engine_of_another_machine_is_refused_with_both_named(tmp_path: Path) -> None:
    engine = tmp_path / "e.engine"
    BACKEND.build(tiny.write_conv(tmp_path / "net.onnx"), (tiny.INPUT,), engine)
    append_metadata(engine, "edgekd.engine", "onnxruntime 0.1 on pdp11")
    with pytest.raises(TargetMismatch, match=r"onnxruntime 0\.1 on pdp11; here is onnxruntime \d"):
        BACKEND.open(engine)


def test_plain_onnx_is_not_an_engine(tmp_path: Path) -> None:
    with pytest.raises(TargetMismatch, match="something else"):
        BACKEND.open(tiny.write_conv(tmp_path / "net.onnx"))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_cut_file_is_the_user_s(tmp_path: Path, keep: float) -> None:
    path = tiny.write_conv(tmp_path / "net.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(InputError, match="not a readable ONNX file"):
        BACKEND.build(path, (tiny.INPUT,), tmp_path / "e.engine")


def test_name_that_is_not_text_is_the_user_s(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tiny.write_conv(tmp_path / "net.onnx", op="NoSuchThing")
    path.write_bytes(path.read_bytes().replace(b"NoSuchThing", b"NoSuch\xff\xfeing"))
    with pytest.raises(EdgeKDError) as error:
        BACKEND.build(path, (tiny.INPUT,), tmp_path / "e.engine")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_unknown_operator_is_a_build_error_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BuildError, match="NoSuchThing") as error:
        BACKEND.build(tiny.write_conv(tmp_path / "net.onnx", op="NoSuchThing"), (tiny.INPUT,), tmp_path / "e.engine")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_closed_session_does_not_run(tmp_path: Path) -> None:
    BACKEND.build(tiny.write_conv(tmp_path / "net.onnx"), (tiny.INPUT,), tmp_path / "e.engine")
    session = BACKEND.open(tmp_path / "e.engine", threads=1)
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run(tiny.feed())
