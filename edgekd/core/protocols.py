"""The interfaces of a family's files. They are protocols, not base classes: a file satisfies one by its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgekd.core.tensor import TensorSpec

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]
Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """Times of one inference in milliseconds, measured by the device's own events and named as trtexec names them."""

    h2d_ms: float
    gpu_compute_ms: float
    d2h_ms: float


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The build log of an engine.

    Attributes:
        summary: The log in one line.
        facts: Plain data for the manifest: layer counts, INT8 convolutions, the library's warnings.
    """

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """An open engine."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one inference on arrays of the inputs' shapes, such as (N, C, H, W); outputs by name.

        The device is idle when it returns, and the caller may keep the arrays.
        """

    def close(self) -> None:
        """Free the engine. Closing twice is allowed."""


@runtime_checkable
class TimedSession(Session, Protocol):
    """A session whose library can time the device with events."""

    def run_timed(self, feeds: Feeds) -> DeviceTimes:
        """Run one inference and return the device's own times."""


@dataclass(frozen=True, slots=True)
class NodeRuns:
    """One node of an engine over several inferences.

    Attributes:
        name, op: As the library reports them; ``op`` is "" if it reports none.
        times_ms: Its time in each inference, without the time of nodes inside it.
    """

    name: str
    op: str
    times_ms: tuple[float, ...]


class ProfiledSession(Session, Protocol):
    """A session whose library times every node. That slows it down, so its latency is never reported."""

    def nodes(self) -> tuple[NodeRuns, ...]:
        """End the profile and return every node in the engine's order, with one time per inference since opening."""


class Backend(Protocol):
    """One engine library. A file of ``edgekd/backends/`` defines one as ``BACKEND``.

    Attributes:
        device: Where its engines run.
        libraries: Names of the distributions whose versions an engine depends on.
        caveat: What must be shown wherever this backend is shown; "" if nothing.
    """

    device: Device
    libraries: tuple[str, ...]
    caveat: str

    def build(self, onnx: Path, inputs: Sequence[TensorSpec], engine: Path, *, threads: int = 0) -> BuildReport:
        """Build ``engine`` from ``onnx``.

        Raises:
            BuildError: The library refused the graph; the message has the library's last messages.
        """

    def open(self, engine: Path, *, threads: int = 0) -> Session:
        """Open an engine for inference.

        Raises:
            TargetMismatch: The engine was built for another machine or another version of the library.
        """


@runtime_checkable
class ProfilingBackend(Protocol):
    """A backend whose library can time every node."""

    def open_profiled(self, engine: Path, *, threads: int = 0) -> ProfiledSession:
        """Open an engine with the library's profiler switched on."""


@runtime_checkable
class GpuBackend(Protocol):
    """A backend that runs on a GPU.

    Attributes:
        gpu_timing: How it times inferences on the GPU, as trtexec's options: see ``core.conditions.Conditions``.
    """

    gpu_timing: Mapping[str, str]


class PowerSource(Protocol):
    """An open power or energy sensor.

    Attributes:
        rails: The names of what it measures, in the order of ``read``.
        total: The rails that add up to everything it measures; the other rails are parts of those.
        description: What ``total`` covers and what it leaves out, for people.
        is_counter: Whether ``read`` gives joules since some moment (a counter) instead of watts.
        steps: The resolution of each rail: watts, or joules for a counter.
        range_j: Where each counter wraps around to 0; 0 where it never does.
        refresh_s: The shortest time in which its readings change.
    """

    rails: tuple[str, ...]
    total: tuple[str, ...]
    description: str
    is_counter: bool
    steps: tuple[float, ...]
    range_j: tuple[float, ...]
    refresh_s: float

    def read(self) -> tuple[float, ...]:
        """Read every rail. Raises OSError if the sensor has gone."""

    def close(self) -> None:
        """Release the sensor; closing twice is harmless."""


class SensorModule(Protocol):
    """One way to read power. A file of ``edgekd/machine/sensors/`` has these names.

    Attributes:
        MEASURES: The devices whose power it measures. It is used for a backend that runs on one of them.
        PRIORITY: Where several sensors measure the same device, the lowest number is used.
        JETSON_ONLY: Whether only a Jetson can have it; on other machines its absence is not reported.
    """

    MEASURES: tuple[Device, ...]
    PRIORITY: int
    JETSON_ONLY: bool

    def find(self, root: Path) -> PowerSource:
        """Open the sensor of the machine whose files are below ``root``.

        Raises:
            MachineError: There is none, or it may not be read: the reason, and what to do.
        """


class Task(Protocol):
    """What a network is for. A file of ``edgekd/tasks/`` has these names and imports only numpy, to run on a board.

    Capabilities that only some tasks have are the protocols below. Code asks for one with
    ``isinstance(task, Pictures)``.

    Attributes:
        METRICS: Names of the metrics that ``metric`` and ``summarize`` return, the most important first; higher is
            better in all of them.
        PRIMARY: The metric that tables show.
        CRITERION: The loss that trains the network, by name: "l1", "mse" or "cross_entropy".
        LAYOUT: The usual layout of its data sets: a file in ``edgekd/datasets/layouts/``.
    """

    METRICS: tuple[str, ...]
    PRIMARY: str
    CRITERION: str
    LAYOUT: str

    def fit(
        self,
        image: NDArray[np.uint8],
        target: NDArray[Any] | None,
        size: tuple[int, int] | None,
        options: Mapping[str, Any],
    ) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        """Fit an image (H, W, 3) uint8 and its target to a network of input ``size`` (None: the task's default)."""

    def preprocess(self, image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
        """Turn an image (H, W, 3) uint8 RGB into the network's input without its batch axis."""

    def postprocess(self, output: Array, options: Mapping[str, Any]) -> Array:
        """Turn the network's output, its batch axis removed, into what the metric takes and people see.

        Returns:
            (H, W, 3) float32 image 0..1, (H, W) int64 labels or (C,) float32 probabilities.
        """

    def metric(self, output: Array, target: Array, options: Mapping[str, Any]) -> dict[str, float]:
        """Score one postprocessed output: metric name → value.

        Args:
            output: As ``postprocess`` returns it, such as (H, W, 3) float32.
            target: (H, W, 3) uint8 image, (H, W) labels or a class ().
            options: The recipe's ``[task]``.
        """


@runtime_checkable
class Degrades(Protocol):
    """A task whose input is computed from its target, so any image can serve as ground truth."""

    def degrade(
        self, picture: NDArray[np.uint8], options: Mapping[str, Any]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Turn an image (H, W, 3) uint8 into (the network's image, its target), both uint8."""


@runtime_checkable
class Tileable(Protocol):
    """A task that can work on a part of an image, so large images can be cut into tiles.

    Attributes:
        TILE_OVERLAP: Input pixels to cut from a tile's inner borders, where the output depends on the tile's border.
    """

    TILE_OVERLAP: int


@runtime_checkable
class Pictures(Protocol):
    """A task whose output can be shown as a picture."""

    def picture(self, output: Array, options: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Turn a postprocessed output into a picture (H, W, 3) uint8."""


@runtime_checkable
class HasLegend(Protocol):
    """A task whose pictures use colours as labels."""

    def legend(self, options: Mapping[str, Any]) -> Sequence[tuple[str, tuple[int, int, int]]]:
        """Return (name, (R, G, B)) of each colour."""


@runtime_checkable
class Labels(Protocol):
    """A task whose output is one class."""

    def label(self, output: Array, options: Mapping[str, Any]) -> str:
        """Return the class of a postprocessed output, (C,) probabilities, in words."""

    def class_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of all classes, in the order of their numbers."""


@runtime_checkable
class HasBaseline(Protocol):
    """A task with a no-network baseline, such as bicubic interpolation.

    Attributes:
        BASELINE: Name of the baseline.
    """

    BASELINE: str

    def baseline(self, image: NDArray[np.uint8], options: Mapping[str, Any]) -> Array:
        """Turn an image (H, W, 3) uint8 into what ``postprocess`` would return."""


@runtime_checkable
class Summarizes(Protocol):
    """A task with metrics of a whole set that are not means over images, such as mean IoU of one confusion matrix."""

    def summarize(
        self, outputs: Sequence[Array], targets: Sequence[Array], options: Mapping[str, Any]
    ) -> Mapping[str, float]:
        """Score all outputs against all targets, images (H, W, 3), labels (H, W) or probabilities (C,) and classes ().

        Returns:
            Metric name → value; these values replace the means.
        """


@runtime_checkable
class HasAgreementMetric(Protocol):
    """A task that compares two networks' outputs by another metric than PRIMARY.

    Attributes:
        AGREES_BY: The metric that tables show if a reference network's outputs replace the ground truth.
    """

    AGREES_BY: str
