"""Artifacts: whole or not at all, and never believed when file and manifest disagree."""

from __future__ import annotations

import errno
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
    Provenance,
    atomic_path,
    current,
    digest_of,
    manifest_path,
    read_artifact,
    read_json,
    save_manifest,
    sha256_of,
    write_atomic,
)
from edgekd.core.errors import InputError, IntegrityError, MachineError
from edgekd.core.tensor import DimRange, TensorSpec

MADE_BY = Provenance("export", ("a" * 64,), "c" * 64, {"torch": "2.12.1"})


def made(path: Path, data: bytes = b"engine") -> Artifact:
    """Write a file and its manifest."""
    write_atomic(path, data)
    spec = TensorSpec("x", ("batch", 3), "float32", {"batch": DimRange(1, 2, 4)})
    artifact = Artifact(
        "onnx", path, sha256_of(path), (spec,), (TensorSpec("y", (), "int64"),), MADE_BY, {"parity": 1e-6}
    )
    save_manifest(artifact)
    return artifact


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
def test_full_disk_is_this_machines_fault_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_atomic(path, b"old")
    # The temporary is where writing really fails: a device that is always full stands in its place.
    (tmp_path / f".m.{os.getpid()}.tmp.onnx").symlink_to("/dev/full")
    with pytest.raises(MachineError, match=r"no space left .*the old file stands"):
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


def test_killed_between_file_and_manifest_is_noticed(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    write_atomic(artifact.path, b"new, and the manifest is still the old one's")
    assert current(artifact.path, MADE_BY) is None
    with pytest.raises(IntegrityError, match=r"has sha256 .*its manifest says"):
        read_artifact(artifact.path)
    assert read_artifact(artifact.path, check=False).sha256 == artifact.sha256


def test_current_asks_for_the_same_parents_config_and_versions(tmp_path: Path) -> None:
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
        ('{"schema": 2}', "has schema 2, this edgekd reads 1"),
        ('{"schema": 1}', "KeyError"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, text: str, says: str) -> None:
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


def test_a_kind_that_is_none(tmp_path: Path) -> None:
    artifact = made(tmp_path / "m.onnx")
    whole = artifact.manifest_path.read_text()
    artifact.manifest_path.write_text(whole.replace('"onnx"', '"onyx"'))
    with pytest.raises(IntegrityError, match="was changed since it was written"):
        read_artifact(artifact.path)
    save_manifest(replace(artifact, kind="onyx"))
    with pytest.raises(IntegrityError, match="'onyx' is none of checkpoint, onnx"):
        read_artifact(artifact.path)
