"""The shapes a family's files must have. Protocols, not base classes: a file satisfies one by having its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.core.tensor import TensorSpec

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]
Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """One inference, split by the device's own events, in trtexec's words (milliseconds)."""

    h2d_ms: float
    gpu_compute_ms: float
    d2h_ms: float


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What the engine library said while it built.

    Attributes:
        summary: One line for people.
        facts: Plain data for the manifest: layer counts, INT8 convolutions, the library's warnings.
    """

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """An open engine."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Infer once. The device is idle when it returns; the arrays are the caller's to keep."""

    def close(self) -> None:
        """Free the engine; closing twice is harmless."""


class TimedSession(Session, Protocol):
    """A session whose library can time the device by events."""

    def run_timed(self, feeds: Feeds) -> DeviceTimes:
        """Infer once and return the device's own times."""


@dataclass(frozen=True, slots=True)
class NodeRuns:
    """One node of an engine over several inferences.

    Attributes:
        name, op: The library's own name and word for it; ``op`` is "" where it tells none.
        times_ms: Its time in each inference, without that of nodes inside it.
    """

    name: str
    op: str
    times_ms: tuple[float, ...]


class ProfiledSession(Session, Protocol):
    """A session whose library times every node. That slows it, so it is never the one whose latency is measured."""

    def nodes(self) -> tuple[NodeRuns, ...]:
        """End the profile: every node, in the engine's order, with one time an inference since it was opened."""


class Backend(Protocol):
    """One engine library. A file of ``edgekd/backends/`` has one as ``BACKEND``.

    Where the library times nodes, it also has ``open_profiled(engine, *, threads=0) -> ProfiledSession``.

    Attributes:
        device: Where its engines run.
        libraries: Distribution names whose versions an engine depends on.
        notice: What every line that shows this backend must say ("" when there is nothing to say).

    One that runs on a GPU has ``gpu_timing`` too: see ``core.result.Conditions``.
    """

    device: Device
    libraries: tuple[str, ...]
    notice: str

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Write ``engine`` from ``onnx``. Raises BuildError with the library's last messages."""

    def open(self, engine: Path, *, threads: int = 0) -> Session:
        """Open an engine for inference. Raises TargetMismatch where it does not belong to this machine."""


class PowerSource(Protocol):
    """A power or energy sensor that is there and may be read.

    Attributes:
        rails: What it tells of, in the order of ``read``.
        total: Which of them add up to all that it sees; the others are parts of those.
        sees: What that is, and what it is not, in words for people.
        counts: ``read`` gives joules since some moment (a counter) instead of watts.
        steps: Of each rail, the smallest change it can tell: watts, or joules of a counter.
        range_j: A counter begins again at 0 beyond this; 0 where it never does.
        refresh_s: It renews what it says no faster.
    """

    rails: tuple[str, ...]
    total: tuple[str, ...]
    sees: str
    counts: bool
    steps: tuple[float, ...]
    range_j: tuple[float, ...]
    refresh_s: float

    def read(self) -> tuple[float, ...]:
        """Read every rail. Raises OSError where the sensor has gone."""

    def close(self) -> None:
        """Let go of the sensor; closing twice is harmless."""


class PowerReader(Protocol):
    """One way to read power. A file of ``edgekd/machine/sensors/`` has these names.

    Attributes:
        SEES: "cpu", "gpu": whose power it sees. A reader is used for a backend that runs there.
        RANK: Where several see the same, the lowest is used.
        OF_A_BOARD: Whether only a Jetson can have it; elsewhere nobody is told that it is missing.
    """

    SEES: tuple[str, ...]
    RANK: int
    OF_A_BOARD: bool

    def find(self, root: Path) -> PowerSource:
        """Return the sensor of the machine whose files lie below ``root``.

        Raises:
            MachineError: There is none, or it may not be read: the reason, and what to do.
        """


class Task(Protocol):
    """What a network is for. A file of ``edgekd/tasks/`` has these names; numpy only, so that it runs on a board.

    Where the task has them, these are used too:

    * ``summarize(outputs, truths, options) -> dict``: metrics of a whole set that are no mean over pictures (mean IoU
      of one confusion matrix); they stand in for the means.
    * ``picture(output, options) -> (H, W, 3) uint8``: an answer that is a picture or labels, to look at.
    * ``legend(options) -> ((name, (R, G, B)), ...)``: what the colours of ``picture`` mean.
    * ``AGREES_BY``: the metric that stands in tables instead of PRIMARY where answers are held against another
      network's, for want of the truth.
    * ``label(output, options) -> str`` and ``class_names(options) -> tuple[str, ...]``: an answer that is one class.
    * ``baseline(seen, options)`` with its name ``BASELINE``: doing without a network.
    * ``degrade(picture, options) -> (seen, truth)``: a picture is its own truth, and any part of it can be worked on
      alone, so that large ones are cut into tiles.

    Attributes:
        METRICS: What ``metric`` and ``summarize`` give, by importance; more is better in all of them.
        PRIMARY: The one that stands in tables.
        CRITERION: The loss that trains it, by name: "l1", "mse" or "cross_entropy".
    """

    METRICS: tuple[str, ...]
    PRIMARY: str
    CRITERION: str

    def fit(
        self,
        seen: NDArray[np.uint8],
        truth: NDArray[Any] | None,
        size: tuple[int, int] | None,
        options: Mapping[str, Any],
    ) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        """Make a picture (H, W, 3) uint8 and its truth suit a network of input ``size``; None is the task's own."""

    def preprocess(self, image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
        """(H, W, 3) uint8 RGB → the network's input without its batch axis."""

    def postprocess(self, output: Array, options: Mapping[str, Any]) -> Array:
        """The network's output without its batch axis → what the metric and people look at."""

    def metric(self, output: Array, truth: Array, options: Mapping[str, Any]) -> dict[str, float]:
        """Score one postprocessed output against the truth: metric name → value."""


class Stage(Protocol):
    """A verb: one artifact in, the next one out, never editing its input."""

    TAKES: str
    GIVES: str
