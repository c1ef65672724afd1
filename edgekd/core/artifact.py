"""Artifacts: files with a manifest beside them, which describes what they are and how they were made.

The manifest of ``model.onnx`` is ``model.onnx.json``. ``publish`` writes both. Each is written to a temporary name in
the same folder, fsynced and renamed, the file first. After a crash at any point the file is the old or the new one, and
a manifest that belongs to the other one is recognised by its sha256, so the stage runs again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekd.core.errors import InputError, IntegrityError, MachineError, RecipeError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.provenance import Provenance, digest_of
from edgekd.core.schema import parse, to_plain
from edgekd.core.tensor import TensorSpec

# 2: ``network`` is a field of its own, no longer part of the facts.
MANIFEST_SCHEMA = 2
# The only way to read the umask is to set it. Done once, at import, before there are threads.
_UMASK = os.umask(0)
os.umask(_UMASK)
KINDS = ("checkpoint", "onnx", "engine", "samples", "bundle", "result", "report", "verdict")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file and its description.

    Attributes:
        kind: One of ``KINDS``.
        path: The file.
        sha256: Its hexadecimal digest; "" before it is published.
        inputs, outputs: The network's signature, if the file is a network.
        made_by: Which stage made it, and from what.
        facts: What the stage measured or decided: parity, the exporter used, the build log. Plain data.
        network: Description of the network, if the file is one.
    """

    kind: str
    path: Path
    sha256: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    made_by: Provenance = field(default_factory=lambda: Provenance("given"))
    facts: Mapping[str, Any] = field(default_factory=dict)
    network: NetworkInfo | None = None

    @property
    def manifest_path(self) -> Path:
        """Path of this artifact's manifest."""
        return manifest_path(self.path)


def manifest_path(path: Path) -> Path:
    """Return the path of the manifest of the file at ``path``."""
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


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success fsync it and rename it to ``path``, on failure remove it.

    Raises:
        InputError: The folder cannot be written.
        MachineError: The disk is full.
    """
    # The suffix stays last, because libraries choose a format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # some libraries write through a temporary file of their own, with mode 0600
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except OSError as err:
        raise _write_error(path, err) from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock the output folder: two runs in one folder would overwrite each other's files.

    Raises:
        InputError: Another run has locked it, or it cannot be written.
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
    """Check that ``path`` can be written, before work that takes long.

    Raises:
        InputError: The folder cannot be written.
        MachineError: The disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as err:
        raise _write_error(path, err) from err


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path``: all of it or nothing. It raises what ``atomic_path`` does."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


# The file's content, or a function that writes it to the path it is given and may return more facts.
Content = bytes | str | Callable[[Path], Mapping[str, Any] | None]


def publish(artifact: Artifact, content: Content) -> Artifact:
    """Write a file and its manifest. This is the one way to make an artifact.

    Args:
        artifact: Everything but the digest.
        content: The file's content, or a function that writes it.

    Returns:
        The artifact with its digest, and with the facts that ``content`` returned added to its own.

    Raises:
        InputError: The folder cannot be written.
        MachineError: The disk is full.
        Exception: Whatever ``content`` raises; the old file and its manifest stay as they were.
    """
    facts: Mapping[str, Any] = {}
    with atomic_path(artifact.path) as temporary:
        if callable(content):
            facts = content(temporary) or {}
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    made = replace(artifact, sha256=sha256_of(artifact.path), facts={**artifact.facts, **facts})
    _write_manifest(made)
    return made


def _write_manifest(artifact: Artifact) -> None:
    """Write the manifest of ``artifact``, whose file exists, beside it. New code calls ``publish``."""
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
        "network": None if artifact.network is None else to_plain(artifact.network),
        "facts": dict(artifact.facts),
    }
    # The digest is over the data as it will be read back: with text keys, and lists for tuples.
    data = json.loads(json.dumps(data))
    data["manifest_sha256"] = digest_of(data)
    write_atomic(artifact.manifest_path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def read_artifact(path: Path, *, check: bool = True) -> Artifact:
    """Read the artifact at ``path`` and its manifest.

    Args:
        path: The file itself, not its manifest.
        check: Compare the file's sha256 with the manifest's.

    Raises:
        IntegrityError: The manifest is missing or unreadable, or the file was changed since it was written.
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
        artifact = _from_manifest(data, path)
    except (AttributeError, KeyError, RecipeError, TypeError, ValueError) as err:
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
        IntegrityError: The file is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as err:
        raise IntegrityError(
            f"cannot read {path}: {err.strerror}; edgekd writes it beside the file it describes"
        ) from err
    except (ValueError, RecursionError) as err:
        raise IntegrityError(f"{path} is not JSON ({str(err)[:100]}); make it again") from err


def current(path: Path, provenance: Provenance) -> Artifact | None:
    """Return the artifact at ``path`` if it is intact and its provenance equals ``provenance``, else None."""
    if not path.exists():
        return None
    try:
        artifact = read_artifact(path)
    except InputError:
        return None
    return artifact if artifact.made_by == provenance else None


def _from_manifest(data: Any, path: Path) -> Artifact:
    """Build the artifact that a manifest's plain data describes; wrong data raises the errors that it causes."""
    made_by = data["made_by"]
    return Artifact(
        kind=_one_of(data["kind"], KINDS),
        path=path,
        sha256=str(data["sha256"]),
        inputs=tuple(map(TensorSpec.from_json, data["inputs"])),
        outputs=tuple(map(TensorSpec.from_json, data["outputs"])),
        made_by=Provenance(
            stage=str(made_by["stage"]),
            parents_sha256=tuple(map(str, made_by["parents_sha256"])),
            config_sha256=str(made_by["config_sha256"]),
            versions={str(library): str(version) for library, version in made_by["versions"].items()},
        ),
        network=None if data["network"] is None else parse(NetworkInfo, data["network"], "network"),
        facts=dict(data["facts"]),
    )


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
        return MachineError(f"no space left to write {path}; the old file was kept. Free some space and run again")
    return InputError(f"cannot write {path}: {err.strerror or err}; give -o a folder that may be written")
