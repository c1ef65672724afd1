"""edgekd: take a trained student network to an engine on a Jetson-class board, and measure what that gains and costs.

One function per verb, on paths or on objects::

    import edgekd

    onnx = edgekd.export("edsr_from_edsr", "student")
    engine = edgekd.build(edgekd.quantize(onnx, "fp16"))
    result = edgekd.bench([edgekd.build(onnx), engine])
    edgekd.compare(result)

They are imported when they are first used: ``import edgekd`` itself imports neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekd.pipeline.library import bench, build, compare, distill, export, gate, load, quantize, run, simplify

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "bench",
    "build",
    "compare",
    "distill",
    "export",
    "gate",
    "load",
    "quantize",
    "run",
    "simplify",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("edgekd.pipeline.library"), name)
    raise AttributeError(f"module 'edgekd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class VerbPackage(ModuleType):
    """A package with the name of a verb: once imported, ``edgekd.bench`` is the package, and can be called as well."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the verb."""
        library = importlib.import_module("edgekd.pipeline.library")
        return getattr(library, self.__name__.rpartition(".")[2])(*args, **kwargs)
