"""What each ONNX stage is made from, known before it runs: the pipeline skips by it without importing torch or onnx."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from edgekd import __version__
from edgekd.core.artifact import Provenance, digest_of
from edgekd.core.config import ExportConfig, QuantizeConfig, SimplifyConfig
from edgekd.core.family import version_of
from edgekd.core.samples import Samples
from edgekd.core.schema import to_plain


def adopt(onnx_sha256: str, dims: Mapping[str, int]) -> Provenance:
    """A foreign ONNX file with ``dims`` fixed → an ONNX file edgekd works on."""
    return _made("adopt", onnx_sha256, dict(dims), ("onnx", "onnxruntime"))


def export(checkpoint_sha256: str, config: ExportConfig, opset: int, metadata: Mapping[str, str]) -> Provenance:
    """A checkpoint → ONNX; ``opset`` is the one asked for, which config.opset = 0 leaves to the target."""
    plain = {"export": to_plain(config), "opset": opset, "metadata": dict(metadata)}
    return _made("export", checkpoint_sha256, plain, ("torch", "onnx", "onnxscript"))


def simplify(onnx_sha256: str, config: SimplifyConfig) -> Provenance:
    """ONNX → smaller ONNX."""
    return _made("simplify", onnx_sha256, to_plain(config), ("onnx", "onnxsim"))


def quantize(onnx_sha256: str, scheme: str, config: QuantizeConfig, samples_sha256: str) -> Provenance:
    """ONNX → ONNX that carries ``scheme``; ``samples_sha256`` is ``digest_of_samples`` of its samples."""
    plain: dict[str, Any] = {"scheme": scheme, "keep": list(config.keep), "samples": samples_sha256}
    if scheme == "int8":
        plain |= {"calibration": config.calibration, "percentile": config.percentile}
    return _made("quantize", onnx_sha256, plain, ("onnx", "onnxruntime"))


def digest_of_samples(samples: Samples) -> str:
    """Return the sha256 of the feeds themselves: names, shapes, dtypes and values."""
    digest = hashlib.sha256("\0".join(samples.names).encode())
    for name, array in sorted(samples.inputs.items()):
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _made(stage: str, parent_sha256: str, config: Any, libraries: tuple[str, ...]) -> Provenance:
    versions = {library: version_of(library) or "absent" for library in libraries}
    return Provenance(stage, (parent_sha256,), digest_of(config), {"edgekd": __version__, **versions})
