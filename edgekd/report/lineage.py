"""From an engine back to the weights: what the manifests beside a result say each file was made of."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.core.artifact import Artifact, read_artifact
from edgekd.core.errors import InputError
from edgekd.results.result import BenchmarkResult

# <role>/<scheme>.onnx, <role>/<backend>/<scheme>.engine; an engine alone beside its result.
_DEPTHS = ("", "*/", "*/*/")
# A stage that begins a chain → what it begins with.
ORIGINS = {"export": "checkpoint", "adopt": "source ONNX"}
_WHAT = {"engine": "engine", "onnx": "ONNX", "checkpoint": "checkpoint"}


@dataclass(frozen=True, slots=True)
class Link:
    """One file of the chain.

    Attributes:
        what: Which kind of file: "engine", "ONNX", "checkpoint", "source ONNX"; "file" where nobody says.
        name: The file's name; "" where its manifest is not at hand.
        stage: The verb that made it; "" where its manifest is not at hand.
        sha256: Its digest.
    """

    what: str
    name: str
    stage: str
    sha256: str


def chains(result: BenchmarkResult, manifests: Mapping[str, Artifact]) -> dict[str, tuple[Link, ...]]:
    """Follow each candidate from its engine to its origin, as far as is known.

    Args:
        result: It holds the digests of the engine and of the ONNX file that the engine was built from.
        manifests: sha256 → what the file's manifest says, see ``beside``.

    Returns:
        Candidate → its files, the engine first.
    """
    return {c.name: _chain(c.engine_sha256, c.onnx_sha256, manifests) for c in result.candidates}


def beside(result_path: Path) -> dict[str, Artifact]:
    """Read the manifests of the run that left ``result_path``: sha256 → artifact; files themselves are not opened."""
    found: dict[str, Artifact] = {}
    # Where a run leaves them, and no deeper: a result may lie in anybody's home.
    for manifest in (path for depth in _DEPTHS for path in sorted(result_path.parent.glob(f"{depth}*.json"))):
        path = manifest.with_suffix("")
        if path.suffix in (".onnx", ".engine"):
            with contextlib.suppress(InputError):  # what cannot be read is not known
                artifact = read_artifact(path, check=False)
                # A stage that changed nothing left a copy; what it was made from says more.
                if artifact.sha256 not in artifact.made_by.parents_sha256:
                    found.setdefault(artifact.sha256, artifact)
    return found


def _chain(engine: str, onnx: str, manifests: Mapping[str, Artifact]) -> tuple[Link, ...]:
    links: list[Link] = []
    sha256 = engine
    while sha256 and sha256 not in {link.sha256 for link in links}:
        made = manifests.get(sha256)
        if made is None:
            links.append(Link(_unsaid(sha256, engine, onnx, links), "", "", sha256))
            sha256 = onnx if sha256 == engine else ""
            continue
        links.append(Link(_WHAT.get(made.kind, made.kind), made.path.name, made.made_by.stage, sha256))
        sha256 = next(iter(made.made_by.parents_sha256), "")
    return tuple(links)


def _unsaid(sha256: str, engine: str, onnx: str, before: list[Link]) -> str:
    """Say what a file without a manifest is: the result knows two, and a chain's beginning is known by its stage."""
    if sha256 == engine:
        return "engine"
    if sha256 == onnx:
        return "ONNX"
    return ORIGINS.get(before[-1].stage, "file") if before else "file"
