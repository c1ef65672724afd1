"""Schemes that a test writes into a folder of its own, and samples that watch how they are read."""

from __future__ import annotations

import contextlib
import importlib
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.core.samples import Origin, Sample, Samples

# Rounds weights to a few bits of mantissa: a scheme that nobody has, with an option, a bound and excluded nodes.
SHORT_MANTISSA = '''
"""Weights rounded to a few bits of mantissa."""
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from edgekd.core.errors import RecipeError
from edgekd.quantize.scheme import Context, Quantized

LIBRARIES = ("onnx", "numpy")


@dataclass(frozen=True, slots=True)
class Config:
    """Rounding."""
    bits: int = 6

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 23:
            raise RecipeError(f"bits = {self.bits}; 1 to 23 was expected")


def quantize(model: ModelProto, config: Config, context: Context) -> Quantized:
    """Round the weights."""
    rounded = ModelProto()
    rounded.CopyFrom(model)
    excluded = context.excluded_nodes(model)
    kept = {name for node in model.graph.node if node.name in excluded for name in node.input}
    for tensor in rounded.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            mantissa, exponent = np.frexp(numpy_helper.to_array(tensor))
            scale = 2.0 ** config.bits
            values = np.ldexp(np.round(mantissa * scale) / scale, exponent).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return Quantized(rounded, {"mantissa_bits": config.bits}, f"{config.bits} bits of mantissa")
'''

# A scheme whose ``quantize`` is the test's own; ``{body}`` sees model, config and context.
_WITH_BODY = '''
from dataclasses import dataclass
import numpy as np
from onnx import ModelProto, helper, numpy_helper
from edgekd.quantize.scheme import Quantized
LIBRARIES = ("onnx",)
@dataclass(frozen=True, slots=True)
class Config:
    """No options."""
def quantize(model, config, context):
    new = ModelProto()
    new.CopyFrom(model)
    {body}
'''


def with_body(*lines: str) -> str:
    """Return the text of a scheme whose ``quantize`` runs ``lines`` on ``new``, a copy of its input."""
    return _WITH_BODY.replace("{body}", "\n    ".join(lines))


@contextlib.contextmanager
def scheme_file(folder: Path, name: str, text: str) -> Iterator[Path]:
    """Make ``text`` a member of the family "quantize.schemes" under ``name``."""
    package = importlib.import_module("edgekd.quantize.schemes")
    path = folder / f"{name}.py"
    path.write_text(text)
    package.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield path
    finally:
        package.__path__.remove(str(folder))
        sys.modules.pop(f"edgekd.quantize.schemes.{name}", None)
        if hasattr(package, name):
            delattr(package, name)


@dataclass
class WatchedSamples:
    """Samples that copy their arrays for each reader, and count how many copies are alive at once.

    Attributes:
        source_samples: What is copied.
        most_alive: Largest number of samples that readers held at the same time.
        reads: Number of samples that were read.
    """

    source_samples: Samples
    most_alive: int = 0
    reads: int = 0
    _alive: weakref.WeakValueDictionary[int, object] = field(default_factory=weakref.WeakValueDictionary)

    @property
    def names(self) -> tuple[str, ...]:
        return self.source_samples.names

    @property
    def source(self) -> str:
        return self.source_samples.source

    @property
    def origin(self) -> Origin:
        return self.source_samples.origin

    @property
    def digest(self) -> str:
        return self.source_samples.digest

    @property
    def has_target(self) -> bool:
        return False

    @property
    def has_image(self) -> bool:
        return False

    def __len__(self) -> int:
        return len(self.source_samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source_samples[index]
        feeds = {name: array.copy() for name, array in sample.feeds.items()}
        self.reads += 1
        self._alive[self.reads] = next(iter(feeds.values()))
        self.most_alive = max(self.most_alive, len(self._alive))
        return Sample(sample.name, feeds)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))
