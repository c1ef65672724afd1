"""Artifacts: files with a manifest beside them that says what they are and how they were made.

``model.onnx`` has ``model.onnx.json``. Both are written to a temporary name in the same folder, fsynced and renamed,
the file first: after a crash at any point the file is the old one or the new one, and a manifest that belongs to the
other is found by its sha256 and the stage runs again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.core.errors import InputError, IntegrityError, MachineError
from edgekd.core.tensor import TensorSpec

MANIFEST_SCHEMA = 1
_UMASK = os.umask(0)
os.umask(_UMASK)
KINDS = ("checkpoint", "onnx", "engine", "samples", "bundle", "result", "report", "verdict")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Enough to skip, to reproduce, to blame.

    Attributes:
        stage: The verb that made the artifact.
        parents_sha256: The files it was made from, in order.
        config_sha256: Digest of the stage's configuration (see ``digest_of``).
        versions: Library name to version, for each library whose version can change the result.
    """

    stage: str
    parents_sha256: tuple[str, ...] = ()
    config_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file and what is known of it.

    Attributes:
        kind: One of ``KINDS``.
        path: Where the file lies.
        sha256: Its digest, hexadecimal.
        inputs, outputs: The network's edge, where the file is a network.
        made_by: Which stage made it, from what.
        facts: What the maker learnt: parity, cost, the exporter used, the libraries' words. Plain data.
    """

    kind: str
    path: Path
    sha256: str
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    made_by: Provenance = Provenance("given")
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def manifest_path(self) -> Path:
        """Where this artifact's manifest lies."""
        return manifest_path(self.path)


def manifest_path(path: Path) -> Path:
    """Return the manifest's place for the file at ``path``."""
    return path.with_name(path.name + ".json")


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of the file at ``path``.

    Raises:
        InputError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as err:
        raise InputError(f"cannot read {path}: {err.strerror}; give a file that exists and may be read") from err
    return digest.hexdigest()


def digest_of(data: Any) -> str:
    """Return the sha256 of plain data in canonical JSON: equal data, equal digest."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync and rename it there, on any failure remove it.

    Raises:
        InputError: The folder cannot be written.
        MachineError: The disk is full.
    """
    # The suffix stays last: libraries choose a format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # libraries that make their own temporary file leave 0600
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except OSError as err:
        raise _write_error(path, err) from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the output folder: two runs in one folder would overwrite each other's files.

    Raises:
        InputError: Another run holds it, or it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("w")
    except OSError as err:
        raise InputError(f"cannot write into {out}: {err.strerror}; give -o a folder that may be written") from err
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise InputError(f"another edgekd run is writing into {out}; wait for it, or give another -o") from err
        yield


def ensure_writable(path: Path) -> None:
    """Fail now where ``path`` could not be written after an hour's work. Raises as ``atomic_path`` does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as err:
        raise _write_error(path, err) from err


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path``, all of it or nothing. Raises as ``atomic_path`` does."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def save_manifest(artifact: Artifact) -> None:
    """Write the manifest of ``artifact`` beside its file."""
    made_by = artifact.made_by
    data = {
        "schema": MANIFEST_SCHEMA,
        "kind": artifact.kind,
        "file": artifact.path.name,
        "sha256": artifact.sha256,
        "bytes": artifact.path.stat().st_size,
        "inputs": [spec.to_json() for spec in artifact.inputs],
        "outputs": [spec.to_json() for spec in artifact.outputs],
        "made_by": {
            "stage": made_by.stage,
            "parents_sha256": list(made_by.parents_sha256),
            "config_sha256": made_by.config_sha256,
            "versions": dict(made_by.versions),
        },
        "facts": dict(artifact.facts),
    }
    data = json.loads(json.dumps(data))  # as it will be read: keys are text, tuples are lists
    data["manifest_sha256"] = digest_of(data)
    write_atomic(artifact.manifest_path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def read_artifact(path: Path, *, check: bool = True) -> Artifact:
    """Read the artifact at ``path`` through its manifest.

    Args:
        path: The file itself, not its manifest.
        check: Compare the file's sha256 with the manifest's.

    Raises:
        IntegrityError: The manifest is missing or unreadable, or the file has changed since it was written.
    """
    manifest = manifest_path(path)
    if not path.is_file():
        raise IntegrityError(f"{path} does not exist; a file that edgekd wrote, with its manifest, was expected")
    data = read_json(manifest)
    try:
        if data["schema"] != MANIFEST_SCHEMA:
            raise IntegrityError(
                f"{manifest} has schema {data['schema']!r}, this edgekd reads {MANIFEST_SCHEMA}; make the file again"
            )
        if data.pop("manifest_sha256") != digest_of(data):
            raise IntegrityError(f"{manifest} was changed since it was written; make the file again, or restore it")
        made_by = data["made_by"]
        artifact = Artifact(
            kind=_one_of(data["kind"], KINDS),
            path=path,
            sha256=str(data["sha256"]),
            inputs=tuple(map(TensorSpec.from_json, data["inputs"])),
            outputs=tuple(map(TensorSpec.from_json, data["outputs"])),
            made_by=Provenance(
                str(made_by["stage"]),
                tuple(map(str, made_by["parents_sha256"])),
                str(made_by["config_sha256"]),
                {str(k): str(v) for k, v in made_by["versions"].items()},
            ),
            facts=dict(data["facts"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise IntegrityError(
            f"{manifest} is not an edgekd manifest ({type(err).__name__}: {err}); make the file again"
        ) from err
    if check and (found := sha256_of(path)) != artifact.sha256:
        raise IntegrityError(
            f"{path} has sha256 {found[:12]}…, its manifest says {artifact.sha256[:12]}…: one of them was changed; "
            "make the file again, or restore it"
        )
    return artifact


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        IntegrityError: It is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as err:
        raise IntegrityError(f"cannot read {path}: {err.strerror}; it is written beside the file it describes") from err
    except (ValueError, RecursionError) as err:
        raise IntegrityError(f"{path} is not JSON ({str(err)[:100]}); make it again") from err


def current(path: Path, provenance: Provenance) -> Artifact | None:
    """Return the artifact at ``path`` if it is whole and was made exactly as ``provenance`` says, else None."""
    if not path.exists():
        return None
    try:
        artifact = read_artifact(path)
    except InputError:
        return None
    return artifact if artifact.made_by == provenance else None


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return str(value)


def _fsync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot fsync a folder; the rename is still atomic
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_error(path: Path, err: OSError) -> InputError | MachineError:
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(f"no space left while writing {path}; the old file stands. Free some space and run again")
    return InputError(f"cannot write {path}: {err.strerror or err}; give -o a folder that may be written")
