"""Provenance: what a file is made from. It is known before the file is made, so the pipeline can skip a stage by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekd import __version__
from edgekd.core.config import ExportConfig, QuantizeConfig, SimplifyConfig
from edgekd.core.family import constant, version_of
from edgekd.core.schema import to_plain


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that determines a file: enough to skip its stage, to reproduce it, and to find what changed.

    Attributes:
        stage: The stage that made the artifact.
        parents_sha256: The files it was made from, in order.
        config_sha256: Digest of the stage's configuration (see ``digest_of``).
        versions: Library → version, for each library whose version can change the file.
    """

    stage: str
    parents_sha256: tuple[str, ...] = ()
    config_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def digest_of(data: Any) -> str:
    """Return the sha256 of plain data as canonical JSON: equal data has equal digests."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def import_onnx(onnx_sha256: str, dims: Mapping[str, int], network: Mapping[str, Any]) -> Provenance:
    """A user's ONNX file, with the sizes ``dims`` of its dynamic dimensions → an ONNX artifact.

    ``network`` is what the user says of it: ``NetworkInfo`` as plain data.
    """
    return _made("import_onnx", onnx_sha256, [dict(dims), dict(network)], ("onnx", "onnxruntime"))


def export(checkpoint_sha256: str, config: ExportConfig, opset: int, metadata: Mapping[str, str]) -> Provenance:
    """A checkpoint → ONNX; ``opset`` is the resolved one (``config.opset`` = 0 takes the target's)."""
    plain = {"export": to_plain(config), "opset": opset, "metadata": dict(metadata)}
    return _made("export", checkpoint_sha256, plain, ("torch", "onnx", "onnxscript"))


def simplify(onnx_sha256: str, config: SimplifyConfig) -> Provenance:
    """ONNX → smaller ONNX."""
    return _made("simplify", onnx_sha256, to_plain(config), ("onnx", "onnxsim"))


def quantize(onnx_sha256: str, scheme: str, config: QuantizeConfig, samples_digest: str) -> Provenance:
    """ONNX → ONNX that carries ``scheme``.

    Neither the scheme nor its libraries are imported: a run that has nothing to do asks for this.

    Args:
        onnx_sha256: The input.
        scheme: A file of ``edgekd/quantize/schemes/``.
        config: The scheme's options count as they stand in the recipe; other schemes' options do not count.
        samples_digest: ``SampleSource.digest``; every scheme's graph is compared with its input on the samples.

    Raises:
        UnknownName: There is no such scheme.
    """
    plain: dict[str, Any] = {
        "scheme": scheme,
        "exclude_nodes": list(config.exclude_nodes),
        "options": to_plain(config.options.get(scheme, {})),
        "samples": samples_digest,
    }
    return _made("quantize", onnx_sha256, plain, constant("quantize.schemes", scheme, "LIBRARIES"))


def _made(stage: str, parent_sha256: str, config: Any, libraries: tuple[str, ...]) -> Provenance:
    versions = {library: version_of(library) or "absent" for library in libraries}
    return Provenance(stage, (parent_sha256,), digest_of(config), {"edgekd": __version__, **versions})
