"""Artifacts: written completely or not at all, and refused if file and manifest disagree."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.core.artifact import (
    Artifact,
    atomic_path,
    current,
    ensure_writable,
    locked,
    manifest_path,
    publish,
    read_artifact,
    read_json,
    sha256_of,
    write_atomic,
)
from edgekd.core.errors import InputError, IntegrityError, MachineError
from edgekd.core.input_contract import InputContract
from edgekd.core.network_info import NetworkInfo
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.tensor import DimRange, TensorSpec

MADE_BY = Provenance("export", ("a" * 64,), "c" * 64, {"torch": "2.12.1"})
NETWORK = NetworkInfo("student", "pair", "super_resolution", {"scale": 2}, True, "int8", {"macs": 1e9}, 17)


def made(path: Path, data: bytes = b"engine") -> Artifact:
    """Publish a file."""
    spec = TensorSpec("x", ("batch", 3), "float32", {"batch": DimRange(1, 2, 4)})
    outputs = (TensorSpec("y", (), "int64"),)
    artifact = Artifact("onnx", path, "", (spec,), outputs, MADE_BY, {"parity": 1e-6}, NETWORK)
    return publish(artifact, data)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".tmp" in path.name)


def child(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd(), check=False, **options)  # type: ignore[call-overload, no-any-return]


def test_round_trip(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    assert read_artifact(artifact.path) == artifact
    assert artifact.manifest_path == manifest_path(artifact.path) == tmp_path / "m.onnx.json"
    assert read_json(artifact.manifest_path)["bytes"] == 6


def test_digest_does_not_depend_on_order() -> None:
    assert digest_of({"a": 1, "b": (1, 2)}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        sha256_of(tmp_path / "absent")


def test_write_creates_folders_and_honours_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomic(path, "text")
    assert path.read_text() == "text"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_the_temporary_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "m.onnx") as temporary:
        assert temporary.suffix == ".onnx"
        temporary.write_bytes(b"x")


@pytest.mark.parametrize("error", [RuntimeError("midway"), KeyboardInterrupt()])
def test_failure_midway_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "m.onnx"
    write_atomic(path, b"old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_machine_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_atomic(path, b"old")
    # The temporary is where writing really fails: a device that is always full stands in its place.
    (tmp_path / f".m.{os.getpid()}.tmp.onnx").symlink_to("/dev/full")
    with pytest.raises(MachineError, match="no space left"):
        write_atomic(path, b"new" * 100_000)
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_found_only_by_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write_atomic(tmp_path / "f", b"old")

    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(MachineError):
        write_atomic(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_file_size_limit_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")
    code = (
        "import resource, sys; from pathlib import Path; from edgekd.core.artifact import write_atomic\n"
        "from edgekd.core.errors import EdgeKDError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path(sys.argv[1]), b'new' * 1000)\n"
        "except EdgeKDError as err: print(type(err).__name__, err)"
    )
    done = child(code, path)
    assert done.stdout.startswith("InputError cannot write"), done
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot write .*give -o"):
        write_atomic(tmp_path / "file" / "below", b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write"):
        write_atomic(folder / "f", b"x")


def test_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from edgekd.core.artifact import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert child(code, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_killed_at_any_moment_leaves_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "f"
    code = (
        "import itertools, sys; from pathlib import Path; from edgekd.core.artifact import write_atomic\n"
        "for turn in itertools.count():\n"
        "    write_atomic(Path(sys.argv[1]), bytes([65 + turn % 26]) * 300_000); print(turn, flush=True)"
    )
    for turns in range(1, 6):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(turns):
            process.stdout.readline()
        process.kill()
        process.communicate()
        data = path.read_bytes()
        assert len(data) == 300_000
        assert len(set(data)) == 1


def test_a_crash_between_file_and_manifest_is_detected(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    write_atomic(artifact.path, b"new, but the manifest is old")
    assert current(artifact.path, MADE_BY) is None
    with pytest.raises(IntegrityError, match=r"has sha256 .*its manifest says"):
        read_artifact(artifact.path)
    assert read_artifact(artifact.path, check=False).sha256 == artifact.sha256


def test_current_needs_the_same_stage_parents_config_and_versions(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    assert current(artifact.path, MADE_BY) == artifact
    for other in (
        Provenance("quantize", *_rest()),
        Provenance("export", ("b" * 64,), "c" * 64, {"torch": "2.12.1"}),
        Provenance("export", ("a" * 64,), "d" * 64, {"torch": "2.12.1"}),
        Provenance("export", ("a" * 64,), "c" * 64, {"torch": "2.12.2"}),
    ):
        assert current(artifact.path, other) is None
    assert current(tmp_path / "absent", MADE_BY) is None
    artifact.manifest_path.unlink()
    assert current(artifact.path, MADE_BY) is None


def _rest() -> tuple[tuple[str, ...], str, dict[str, str]]:
    return MADE_BY.parents_sha256, MADE_BY.config_sha256, dict(MADE_BY.versions)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[1, 2", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("\xff", "is not JSON"),
        ("[]", "not an edgekd manifest"),
        ("null", "not an edgekd manifest"),
        ('{"schema": 1}', "has schema 1"),
        ('{"schema": 2}', "KeyError"),
    ],
)
def test_a_file_that_is_no_manifest(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x")
    manifest_path(path).write_bytes(text.encode("latin-1"))
    with pytest.raises(IntegrityError, match=says):
        read_artifact(path)


def test_a_manifest_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"m\.onnx does not exist"):
        read_artifact(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"network")
    with pytest.raises(IntegrityError, match=r"cannot read .*m\.onnx\.json"):
        read_artifact(tmp_path / "m.onnx")


def test_an_unknown_kind(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    whole = artifact.manifest_path.read_text()
    artifact.manifest_path.write_text(whole.replace('"onnx"', '"onyx"'))
    with pytest.raises(IntegrityError, match="was changed since it was written"):
        read_artifact(artifact.path)
    publish(replace(artifact, kind="onyx"), b"engine")
    with pytest.raises(IntegrityError, match="'onyx' is none of checkpoint, onnx"):
        read_artifact(artifact.path)


def test_publish_takes_bytes_text_or_a_function(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("text")

    for index, content in enumerate((b"text", "text", write)):
        artifact = publish(Artifact("report", tmp_path / f"{index}.html"), content)
        assert artifact.path.read_bytes() == b"text"
        assert artifact.sha256 == sha256_of(artifact.path)
        assert read_artifact(artifact.path) == artifact


def test_publish_merges_the_facts_of_the_function_that_writes(tmp_path: Path) -> None:
    def build(path: Path) -> dict[str, object]:
        path.write_bytes(b"engine")
        return {"summary": "52 layers", "layers": 52}

    artifact = publish(Artifact("engine", tmp_path / "e.engine", facts={"summary": "", "backend": "null"}), build)
    assert artifact.facts == {"summary": "52 layers", "layers": 52, "backend": "null"}
    assert read_artifact(artifact.path).facts == artifact.facts


def test_publish_hands_over_a_path_in_the_same_folder_with_the_suffix(tmp_path: Path) -> None:
    given: list[Path] = []

    def write(path: Path) -> None:
        given.append(path)
        path.write_bytes(b"x")

    publish(Artifact("onnx", tmp_path / "a" / "m.onnx"), write)
    assert (given[0].parent, given[0].suffix) == (tmp_path / "a", ".onnx")
    assert not given[0].exists()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["m.onnx", "m.onnx.json"]


@pytest.mark.parametrize("error", [RuntimeError("midway"), KeyboardInterrupt(), IntegrityError("refused")])
def test_publish_keeps_file_and_manifest_if_the_function_fails(tmp_path: Path, error: BaseException) -> None:
    artifact = made(tmp_path / "m.onnx", b"old")
    manifest = artifact.manifest_path.read_bytes()

    def fail(path: Path) -> None:
        path.write_bytes(b"half of the n")
        raise error

    with pytest.raises(type(error)):
        publish(replace(artifact, made_by=Provenance("other")), fail)
    assert artifact.path.read_bytes() == b"old"
    assert artifact.manifest_path.read_bytes() == manifest
    assert current(artifact.path, MADE_BY) == artifact
    assert leftovers(tmp_path) == []


def test_publish_of_the_same_content_gives_the_same_manifest(tmp_path: Path) -> None:
    first = made(tmp_path / "m.onnx").manifest_path.read_bytes()
    assert made(tmp_path / "m.onnx").manifest_path.read_bytes() == first


FED = NetworkInfo(input=InputContract(size=(4, 6), mean=(0.5,)), input_assumed=("scale",))


@pytest.mark.parametrize("network", [None, NetworkInfo(), NETWORK, FED])
def test_a_network_reads_back(tmp_path: Path, network: NetworkInfo | None) -> None:
    artifact = publish(Artifact("onnx", tmp_path / "m.onnx", network=network), b"graph")
    assert read_artifact(artifact.path).network == network


def test_a_manifest_with_an_unknown_field_of_the_network_is_refused(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    data = read_json(artifact.manifest_path)
    del data["manifest_sha256"]
    data["network"]["colour"] = "red"
    artifact.manifest_path.write_text(json.dumps({**data, "manifest_sha256": digest_of(data)}))
    with pytest.raises(IntegrityError, match="colour"):
        read_artifact(artifact.path)


def test_a_folder_is_locked_for_one_run_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgekd.core.artifact import locked\n"
        "from edgekd.core.errors import InputError\n"
        "try:\n    with locked(Path(sys.argv[1])): print('locked')\n"
        "except InputError: print('refused')"
    )
    with locked(tmp_path / "run"):
        assert child(code, tmp_path / "run").stdout == "refused\n"
    assert child(code, tmp_path / "run").stdout == "locked\n"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write into"), locked(tmp_path / "file"):
        pass


def test_whether_a_path_can_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    ensure_writable(tmp_path / "a" / "b.npz")
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        ensure_writable(tmp_path / "file" / "b.npz")
