"""build: ONNX → engine, on the machine that will run it. No precision option: the graph carries its precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd import __version__
from edgekd.core.artifact import Artifact, Provenance, atomic_path, digest_of, save_manifest, sha256_of
from edgekd.core.family import load, version_of
from edgekd.core.protocols import Backend

TAKES = "onnx"
GIVES = "engine"


def provenance(onnx_sha256: str, backend: str, threads: int = 0) -> Provenance:
    """Return what an engine's manifest must say to be the one that ``run`` would make now.

    Args:
        onnx_sha256: Digest of the ONNX file.
        backend: A member of ``edgekd/backends/``; its library is imported.
        threads: As for ``run``.
    """
    libraries = {library: version_of(library) or "unknown" for library in _backend(backend).libraries}
    config = digest_of({"backend": backend, "threads": threads})
    return Provenance("build", (onnx_sha256,), config, {"edgekd": __version__, **libraries})


def run(onnx: Artifact, backend: str, out: Path, *, threads: int = 0) -> Artifact:
    """Build an engine.

    Args:
        onnx: The graph.
        backend: A member of ``edgekd/backends/``.
        out: Where the engine goes; its manifest lies beside it.
        threads: For the library's own work, 0 lets it choose.

    Raises:
        BuildError: The library refuses the graph.
        MachineError: The library, or the GPU it needs, is not here.
    """
    made_by = provenance(onnx.sha256, backend, threads)
    library = _backend(backend)
    with atomic_path(out) as temporary:
        report = library.build(onnx.path, onnx.inputs, temporary, threads=threads)
    facts = {
        **report.facts,
        "backend": backend,
        "summary": report.summary,
        "notice": library.notice,
        "network": _network(onnx),
    }
    engine = Artifact(GIVES, out, sha256_of(out), onnx.inputs, onnx.outputs, made_by, facts)
    save_manifest(engine)
    return engine


def notice(backend: str) -> str:
    """Return what must be said wherever this backend is shown. Raises MissingDependency."""
    return _backend(backend).notice


def _network(onnx: Artifact) -> dict[str, Any]:
    """What a board cannot find out from an engine, and the ONNX file's manifest knows: it travels in the engine's."""
    facts = onnx.facts
    return {
        "role": onnx.path.stem,
        **facts.get("network", {}),
        "precision": facts.get("scheme", "as given"),
        "onnx_bytes": onnx.path.stat().st_size,
        "cost": facts.get("cost") or {},
    }


def _backend(name: str) -> Backend:
    backend: Backend = load("backends", name).BACKEND
    return backend
