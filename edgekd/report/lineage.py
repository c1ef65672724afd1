"""From an engine back to the weights: each file and what it was made from, read from the manifests of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.errors import InputError
from edgekd.results.result import BenchmarkResult

# Where a run leaves its files: <role>/<scheme>.onnx, <role>/<backend>/<scheme>.engine; an engine alone lies beside its
# result. Nothing deeper is searched: a result may lie in a home folder.
_FOLDERS = ("", "*/", "*/*/")
# A stage that begins a chain → what it reads.
ORIGINS = {"export": "checkpoint", "import_onnx": "source ONNX"}
_KIND_NAMES = {"onnx": "ONNX"}


@dataclass(frozen=True, slots=True)
class Link:
    """One file of a chain.

    Attributes:
        kind: "engine", "ONNX", "checkpoint", "source ONNX"; "file" where unknown.
        name: The file's name; "" without its manifest.
        stage: The stage that made it; "" without its manifest.
        sha256: Its digest.
    """

    kind: str
    name: str
    stage: str
    sha256: str


def chains(result: BenchmarkResult, manifests: Mapping[str, Artifact]) -> dict[str, tuple[Link, ...]]:
    """Follow each candidate from its engine to its origin, as far as the manifests reach.

    Args:
        result: Holds the digests of each engine and of the ONNX file it was built from.
        manifests: sha256 → artifact, see ``manifests_beside``.

    Returns:
        Candidate → its files, the engine first.
    """
    return {c.name: _chain(c.engine_sha256, c.onnx_sha256, manifests) for c in result.candidates}


def manifests_beside(result_path: Path) -> dict[str, Artifact]:
    """Read the manifests of the run that left ``result_path``: sha256 → artifact. The files are not opened."""
    found: dict[str, Artifact] = {}
    for folder in _FOLDERS:
        for manifest in sorted(result_path.parent.glob(f"{folder}*.json")):
            path = manifest.with_suffix("")
            if path.suffix not in (".onnx", ".engine"):
                continue
            with contextlib.suppress(InputError):  # a manifest that cannot be read leaves a gap in the chain
                artifact = read_artifact(path, check=False)
                # A stage that changed nothing leaves a copy with its parent's digest; the parent says more.
                if artifact.sha256 not in artifact.made_by.parents_sha256:
                    found.setdefault(artifact.sha256, artifact)
    return found


def _chain(engine_sha256: str, onnx_sha256: str, manifests: Mapping[str, Artifact]) -> tuple[Link, ...]:
    links: list[Link] = []
    sha256 = engine_sha256
    while sha256 and sha256 not in {link.sha256 for link in links}:
        artifact = manifests.get(sha256)
        if artifact is not None:
            kind = _KIND_NAMES.get(artifact.kind, artifact.kind)
            links.append(Link(kind, artifact.path.name, artifact.made_by.stage, sha256))
            sha256 = next(iter(artifact.made_by.parents_sha256), "")
        elif sha256 == engine_sha256:
            links.append(Link("engine", "", "", sha256))
            sha256 = onnx_sha256
        else:
            links.append(Link("ONNX" if sha256 == onnx_sha256 else _origin(links), "", "", sha256))
            sha256 = ""
    return tuple(links)


def _origin(links: list[Link]) -> str:
    """Return what a file without a manifest is: known where the stage that read it begins a chain."""
    return ORIGINS.get(links[-1].stage, "file") if links else "file"
