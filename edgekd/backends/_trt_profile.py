"""An engine of TensorRT or TensorRT-RTX whose layers are timed by the library's own profiler.

Source: TensorRT's Python API, ``IProfiler`` and ``IExecutionContext.report_to_profiler``: where enqueueing does not
emit the profile, it is asked for once the stream is idle, and each layer is reported in the order it runs.
"""

from __future__ import annotations

from typing import Any

from edgekd.backends._layers import layers_in_inspection
from edgekd.backends._trt_session import EngineSession
from edgekd.core.errors import MachineError
from edgekd.core.protocols import Array, Feeds, NodeRuns


class ProfiledEngineSession(EngineSession):
    """One engine, with a profiler at its execution context; see ``core.protocols.ProfiledSession``."""

    def __init__(self, trt: Any, cuda: Any, device: Any, owned: tuple[Any, Any]) -> None:
        super().__init__(trt, cuda, device, owned)
        inspector = self._engine.create_engine_inspector()
        found = layers_in_inspection(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        self._ops = {one.name: one.kind for one in found}
        self._log = _make_log(trt)
        self._context.profiler = self._log
        self._context.enqueue_emits_profile = False

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Infer once and keep what each layer took."""
        self._log.begin()
        outputs = super().run(feeds)
        if not self._context.report_to_profiler():
            raise MachineError("TensorRT reported no layer times after an inference; measure without a profile")
        return outputs

    def nodes(self) -> tuple[NodeRuns, ...]:
        """Return every layer with one time an inference; a layer that was not reported in one took 0 ms."""
        count = len(self._log.runs)
        times_ms: dict[tuple[str, int], list[float]] = {}
        for index, run in enumerate(self._log.runs):
            seen: dict[str, int] = {}
            for name, ms in run:
                # Several layers may have one name: the first of it in one inference is the first in the next.
                seen[name] = seen.get(name, 0) + 1
                times_ms.setdefault((name, seen[name]), [0.0] * count)[index] = ms
        return tuple(NodeRuns(name, self._ops.get(name, ""), tuple(ms)) for (name, _), ms in times_ms.items())


def _make_log(trt: Any) -> Any:
    """Return a TensorRT profiler that keeps (layer, ms) of each inference in ``runs``."""

    class Log(trt.IProfiler):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.runs: list[list[tuple[str, float]]] = []

        def begin(self) -> None:
            self.runs.append([])

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.runs[-1].append((layer_name, ms))

    return Log()
