"""A TensorRT or TensorRT-RTX session whose layers are timed by the library's profiler.

Source: TensorRT's Python API, ``IProfiler`` and ``IExecutionContext.report_to_profiler``: with
``enqueue_emits_profile`` off, the profile is requested once the stream is idle, and layers are reported in the order
they run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from edgekd.backends._layers import layers_in_inspection
from edgekd.backends._trt_session import EngineSession
from edgekd.core.errors import MachineError
from edgekd.core.protocols import Array, Feeds, NodeRuns


class ProfiledEngineSession(EngineSession):
    """One engine with a profiler attached to its execution context; see ``core.protocols.ProfiledSession``."""

    def __init__(self, trt: Any, cuda: Any, device: Any, owned: tuple[Any, Any]) -> None:
        super().__init__(trt, cuda, device, owned)
        inspector = self._engine.create_engine_inspector()
        layers = layers_in_inspection(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        self._ops = {listed.name: listed.kind for listed in layers}
        self._times = _make_profiler(trt)
        self._context.profiler = self._times
        self._context.enqueue_emits_profile = False

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Infer once and record each layer's time."""
        self._times.begin()
        outputs = super().run(feeds)
        if not self._context.report_to_profiler():
            raise MachineError("TensorRT reported no layer times after an inference; measure without a profile")
        return outputs

    def nodes(self) -> tuple[NodeRuns, ...]:
        """Return every layer with one time per inference; a layer that was not reported in one took 0 ms."""
        runs = self._times.runs
        times_ms: dict[tuple[str, int], list[float]] = {}
        for index, run in enumerate(runs):
            occurrences: Counter[str] = Counter()
            for name, ms in run:
                # Several layers may share a name; they are reported in the same order in every inference.
                occurrences[name] += 1
                times_ms.setdefault((name, occurrences[name]), [0.0] * len(runs))[index] = ms
        return tuple(NodeRuns(name, self._ops.get(name, ""), tuple(ms)) for (name, _), ms in times_ms.items())


def _make_profiler(trt: Any) -> Any:
    """Return a TensorRT profiler that keeps (layer, ms) of each inference in ``runs``."""

    class LayerTimes(trt.IProfiler):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.runs: list[list[tuple[str, float]]] = []

        def begin(self) -> None:
            self.runs.append([])

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.runs[-1].append((layer_name, ms))

    return LayerTimes()
