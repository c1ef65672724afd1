"""build: ONNX → engine, on the machine that will run it. There is no precision option: the graph carries its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekd import __version__
from edgekd.core.artifact import Artifact, publish
from edgekd.core.family import constant, load, version_of
from edgekd.core.network_info import NetworkInfo
from edgekd.core.protocols import Backend
from edgekd.core.provenance import Provenance, digest_of


def provenance(onnx_sha256: str, backend: str, threads: int = 0) -> Provenance:
    """Return the provenance of the engine that ``run`` would build now, to compare with an existing manifest.

    Args:
        onnx_sha256: Digest of the ONNX file.
        backend: A member of ``edgekd/backends/``; neither it nor its library is imported.
        threads: As for ``run``.
    """
    # An engine of another version of its library does not open, or is another engine.
    libraries = {library: version_of(library) or "unknown" for library in constant("backends", backend, "LIBRARIES")}
    config = digest_of({"backend": backend, "threads": threads})
    return Provenance("build", (onnx_sha256,), config, {"edgekd": __version__, **libraries})


def run(onnx: Artifact, backend: str, out: Path, *, threads: int = 0) -> Artifact:
    """Build an engine.

    Args:
        onnx: The graph.
        backend: A member of ``edgekd/backends/``.
        out: The engine's path; its manifest lies beside it.
        threads: For the library's own work; 0 lets it choose.

    Raises:
        BuildError: The library refuses the graph.
        MachineError: The library, or the GPU it needs, is missing here.
    """
    library = _backend(backend)

    def write_engine(path: Path) -> Mapping[str, Any]:
        report = library.build(onnx.path, onnx.inputs, path, threads=threads)
        return {**report.facts, "summary": report.summary}

    engine = Artifact(
        "engine",
        out,
        inputs=onnx.inputs,
        outputs=onnx.outputs,
        made_by=provenance(onnx.sha256, backend, threads),
        facts={"backend": backend, "caveat": library.caveat},
        # An engine file does not say what network it holds; the board reads it from the manifest.
        network=replace(onnx.network or NetworkInfo(role=onnx.path.stem), onnx_bytes=onnx.path.stat().st_size),
    )
    return publish(engine, write_engine)


def caveat(backend: str) -> str:
    """Return what must be shown wherever results of this backend are. Raises MissingDependency."""
    return _backend(backend).caveat


def _backend(name: str) -> Backend:
    backend: Backend = load("backends", name).BACKEND
    return backend
