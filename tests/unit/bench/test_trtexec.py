"""trtexec's JSON: the files in trtexec/ were made by hand in the documented format of the release in their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekd.bench import trtexec
from edgekd.bench.trtexec import read_profile, read_times
from edgekd.cli import _run as edgekd
from edgekd.core.artifact import Artifact, publish, read_artifact, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.numerics import percentile
from edgekd.core.provenance import Provenance
from edgekd.core.tensor import TensorSpec
from edgekd.report.formats import trtexec_profile, trtexec_times
from edgekd.results.result import read_result
from tests.unit.report.example_result import CONDITIONS, bare, example

HERE = Path(__file__).with_name("trtexec")
TIMES = {release: HERE / f"by_hand_times_{release}.json" for release in ("8.2", "8.4", "10.3", "11.0")}


@pytest.fixture
def plan(tmp_path) -> Path:
    path = tmp_path / "net.plan"
    path.write_bytes(b"an engine as trtexec wrote it")
    return path


def record(ms: float = 5.0, **changes) -> dict:
    return {"startComputeMs": 300.0, "h2dMs": 0.5, "computeMs": ms - 0.75, "d2hMs": 0.25, "latencyMs": ms, **changes}


def write(path: Path, *records) -> Path:
    path.write_text(json.dumps(records))
    return path


def samples_ns(run) -> list[int]:
    return [ns for block in run.blocks_ns for ns in block]


@pytest.mark.parametrize(("release", "discarded"), [("8.2", 24), ("8.4", 24), ("10.3", 0), ("11.0", 0)])
def test_every_releases_times(release, discarded):
    run, clock = read_times(TIMES[release], release)
    records = json.loads(TIMES[release].read_text())
    assert samples_ns(run) == [round(r["latencyMs"] * 1e6) for r in records[discarded:]]
    assert (len(samples_ns(run)), len(run.blocks_ns), run.warmup_iterations) == (40, 12, discarded)
    assert clock == f"trtexec latencyMs, transfers {'left out' if release == '11.0' else 'included'}"


def test_a_release_that_does_not_fit_the_file_is_named():
    with pytest.raises(InputError, match=r"endToEndMs, which .* up to 8\.2; --tensorrt 8\.4\.1 is not"):
        read_times(TIMES["8.2"], "8.4.1")
    with pytest.raises(InputError, match="'new' is no release"):
        read_times(TIMES["8.2"], "new")


def test_warm_up_is_trtexecs_own_where_it_is_in_the_file(tmp_path):
    path = write(tmp_path / "t.json", *(record(startComputeMs=at) for at in (0.0, 199.9, 200.0, 500.0)))
    assert [len(samples_ns(read_times(path, "8.4", ms)[0])) for ms in (0.0, 200.0, 300.0)] == [4, 2, 1]
    assert len(samples_ns(read_times(path, "8.5", 300.0)[0])) == 4
    with pytest.raises(InputError, match="no inference after the warm-up of 501 ms"):
        read_times(path, "8.4", 501.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ('[ { "latencyMs" : 5.', "may have been cut short: run it again"),
        ('[ { "latencyMs" : nan } ]', "is not JSON"),
        ("{}", "holds a dict; a list of records"),
        ("[]", "holds a list of 0"),
        ("[1, 2]", "holds a list of 2"),
        ("[{}]", "record 0: latencyMs is no such field"),
        (json.dumps([record(), record(h2dMs=-0.5)]), "record 1: h2dMs is -0.5; a number from 0 up"),
        (json.dumps([record(latencyMs=float("nan"))]), "latencyMs is nan"),
        (json.dumps([record(computeMs=float("inf"))]), "computeMs is inf"),
        (json.dumps([record(latencyMs="5")]), "latencyMs is '5'"),
        (json.dumps([record(latencyMs=True)]), "latencyMs is True"),
        (json.dumps([record(latencyMs=6.0)]), "latencyMs 6 is not h2dMs + computeMs + d2hMs = 5"),
        (json.dumps([record(0.75, h2dMs=0.0, d2hMs=0.0, latencyMs=0.0)]), "latencyMs 0 is not"),
        (json.dumps([record(clock="a"), record(clock="b")]), "several clocks: a, b"),
    ],
)
def test_times_that_are_none_are_refused_in_a_line(tmp_path, plan, capsys, text, says):
    (tmp_path / "t.json").write_text(text)
    words = ["bench", str(plan), "--times", str(tmp_path / "t.json"), "--target", "a board", "--tensorrt", "10.3.0"]
    assert edgekd([*words, "-o", str(tmp_path / "r.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "r.json").exists()


def test_profiles_of_both_kinds():
    nodes, (note,) = read_profile(HERE / "by_hand_profile_10.3.json")
    assert [node.median_ms for node in nodes] == [0.04, 2.3, 1.9, 0.5, 0.36]
    assert nodes[1].name == "/conv1/Conv + /relu/Relu"
    assert {node.mad_ms for node in nodes} == {None}
    assert note == "time per node is trtexec's, over 350 inferences"
    nodes, (note,) = read_profile(HERE / "by_hand_profile_8.2.json")
    assert nodes[1].median_ms == 2.323
    assert "means, not medians" in note


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([{"count": 3}], "0 layers over 3 inferences"),
        ([{"count": 0}, {"name": "a", "medianMs": 1}], "1 layers over 0"),
        ([{"name": "a", "medianMs": 1}], "record 0: count is no such field"),
        ([{"count": 3}, {"medianMs": 1}], "record 1 has no name"),
        ([{"count": 3}, {"name": "a", "medianMs": -1}], "medianMs is -1"),
        ([{"count": 3}, {"name": "a", "timeMs": 1}], "averageMs is no such field"),
    ],
)
def test_profiles_that_are_none(tmp_path, records, says):
    with pytest.raises(InputError, match=says):
        read_profile(write(tmp_path / "p.json", *records))
    with pytest.raises(InputError, match="cannot read"):
        read_profile(tmp_path / "nothing.json")


def test_files_become_a_result_that_others_read(tmp_path, plan, capsys):
    out = tmp_path / "r.json"
    words = ["bench", str(plan), "--target", "orin_nano_8gb", "--tensorrt", "10.3.0", "-o", str(out)]
    again = write(tmp_path / "again.json", *(record(5.0 + i / 100) for i in range(20)))
    words += ["--times", str(TIMES["10.3"]), "--times", str(again)]
    words += ["--profile", str(HERE / "by_hand_profile_10.3.json")]
    assert edgekd(words) == 0
    assert "timed by trtexec latencyMs, transfers included" in " ".join(capsys.readouterr().out.split())
    result = read_result(out)
    (only,) = result.candidates
    assert (only.name, len(only.runs), only.engine_bytes) == ("net/as given", 2, plan.stat().st_size)
    assert (only.engine_sha256, only.peak_memory_bytes) == (sha256_of(plan), None)
    assert len(only.nodes) == 5
    image = result.conditions
    assert (image.target, image.backend, image.libraries["tensorrt"]) == ("Jetson Orin Nano 8GB", "tensorrt", "10.3.0")
    records = [r for path in (TIMES["10.3"], again) for r in json.loads(path.read_text())]
    assert only.percentile_ms(99) == pytest.approx(percentile([r["latencyMs"] for r in records], 99), abs=1e-6)
    assert len(read_artifact(out).made_by.parents_sha256) == 4
    assert edgekd(["compare", str(out), str(out)]) == 0
    assert edgekd(["gate", str(out), "--baseline", str(out)]) in (0, 4)
    assert edgekd(["report", str(out), "--report", f"html={tmp_path / 'r.html'}"]) == 0


def test_it_is_never_compared_with_our_own_clock(tmp_path, plan, capsys):
    files = trtexec.TrtexecFiles((TIMES["10.3"],), None, CONDITIONS.target, "10.3.0")
    trtexec.run(plan, files, tmp_path / "r.json")
    ours = example(title="net").to_json()
    (tmp_path / "ours.json").write_text(ours)
    assert edgekd(["gate", str(tmp_path / "r.json"), "--baseline", str(tmp_path / "ours.json")]) == 5
    assert "clock: time.perf_counter_ns against trtexec latencyMs" in capsys.readouterr().err


def test_a_manifest_tells_what_the_engine_is(tmp_path, plan):
    network = NetworkInfo("student", precision="int8", onnx_bytes=5, cost={"macs": 7.0})
    inputs, made_by = (TensorSpec("x", (2, 3), "float32"),), Provenance("build", ("ab" * 32,))
    engine = Artifact("engine", plan, inputs=inputs, made_by=made_by, facts={"backend": "tensorrt"}, network=network)
    publish(engine, "a plan")
    files = trtexec.TrtexecFiles((TIMES["11.0"],), None, "a board", "11.0")
    trtexec.run(plan, files, tmp_path / "r.json")
    result = read_result(tmp_path / "r.json")
    (only,) = result.candidates
    assert (only.name, only.inputs, only.cost, result.conditions.batch) == (
        "student/int8",
        {"x": (2, 3)},
        {"macs": 7},
        2,
    )
    assert (only.onnx_sha256, result.conditions.target) == ("ab" * 32, "a board")
    publish(Artifact("engine", plan, facts={"backend": "onnxruntime"}), "a plan")
    with pytest.raises(InputError, match="was built by onnxruntime; trtexec times TensorRT's"):
        trtexec.run(plan, files, tmp_path / "r.json")


def test_files_that_do_not_belong_together(tmp_path, plan):
    for times, says in (
        ((TIMES["10.3"], TIMES["10.3"]), "two of the times files are the same"),
        ((TIMES["10.3"], TIMES["11.0"]), "of unlike runs: .* included; .* left out"),
    ):
        with pytest.raises(InputError, match=says):
            trtexec.run(plan, trtexec.TrtexecFiles(times, None, "a board", "10.3"), tmp_path / "r.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--times", "t.json"], "--target and --tensorrt not given"),
        (["--target", "x"], "--times and --tensorrt not given"),
        (["other.plan", "--times", "t.json", "--target", "x", "--tensorrt", "8.5"], "is of one engine, 2 were given"),
    ],
)
def test_what_the_files_do_not_say_must_be_given(plan, capsys, words, says):
    assert edgekd(["bench", str(plan), *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("release", ["8.4", "10.3"])
def test_what_is_written_is_read_again(tmp_path, plan, release):
    result = bare()
    (tmp_path / "t.json").write_text(trtexec_times.render(result))
    run, clock = read_times(tmp_path / "t.json", release)
    assert [ns / 1e6 for ns in samples_ns(run)] == pytest.approx(result.candidates[0].latencies_ms.tolist(), abs=1e-6)
    assert clock == result.conditions.clock  # ours, still: a detour through trtexec's format makes it no trtexec time
    files = trtexec.TrtexecFiles((TIMES["10.3"],), HERE / "by_hand_profile_10.3.json", "a board", "10.3")
    trtexec.run(plan, files, tmp_path / "r.json")
    theirs = read_result(tmp_path / "r.json")
    (tmp_path / "t.json").write_text(trtexec_times.render(theirs))
    run, clock = read_times(tmp_path / "t.json", "10.3")
    assert [ns / 1e6 for ns in samples_ns(run)] == pytest.approx(theirs.candidates[0].latencies_ms.tolist(), abs=1e-6)
    assert clock == theirs.conditions.clock
    (tmp_path / "p.json").write_text(trtexec_profile.render(theirs))
    assert read_profile(tmp_path / "p.json")[0] == theirs.candidates[0].nodes


def test_a_result_without_a_profile_has_none_to_write():
    with pytest.raises(InputError, match="has no time per node"):
        trtexec_profile.render(bare())


def test_one_of_several_candidates_may_be_named(tmp_path, capsys):
    (tmp_path / "r.json").write_text(example().to_json())
    words = ["report", str(tmp_path / "r.json"), "--report", f"trtexec_times={tmp_path / 'times.json'}"]
    assert edgekd(words) == 2
    assert "--candidate" in capsys.readouterr().err
    assert edgekd([*words, "--candidate", "student/int8"]) == 0
    assert len(json.loads((tmp_path / "times.json").read_text())) == 60
    assert edgekd([*words, "--candidate", "nobody"]) == 5
