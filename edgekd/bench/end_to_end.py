"""Where the time goes between the camera's picture and the answer: preprocess, inference, postprocess.

Taken after the latencies, in the same processes, on one picture: what the engine's latency leaves out. Where the
library times the device by its own events, inference is split again, in trtexec's words, into ``h2d``, ``compute`` and
``d2h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.bench import timing
from edgekd.core import family
from edgekd.core.clock import CLOCK, Clock
from edgekd.core.errors import InputError
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Array, Feeds, Session, Task, TimedSession
from edgekd.results.result import STAGES

# The device's own times of core.protocols.DeviceTimes, by stage.
_DEVICE = {"h2d": "h2d_ms", "compute": "gpu_compute_ms", "d2h": "d2h_ms"}


@dataclass(frozen=True, slots=True)
class Edge:
    """What stands before and after an engine.

    Attributes:
        task: A file of ``edgekd/tasks/``.
        options: The recipe's ``[task]``.
        embedded: Whether the engine's graph holds both.
        picture: (H, W, 3) uint8, as the camera gives it.
    """

    task: str
    options: Mapping[str, Any]
    embedded: bool
    picture: NDArray[np.uint8]


def split(session: Session, edge: Edge, turns: int, clock: Clock = CLOCK) -> dict[str, tuple[int, ...]]:
    """Time every stage of ``turns`` answers.

    Returns:
        Stage (of ``core.result.STAGES``) → nanoseconds, one figure a turn.

    Raises:
        InputError: The engine does not take what the task's ``preprocess`` gives, or has several inputs or outputs.
    """
    if len(session.inputs) != 1 or len(session.outputs) != 1:
        counts = f"{len(session.inputs)} inputs and {len(session.outputs)} outputs"
        raise InputError(f"the engine has {counts}; one of each was expected, to feed it a picture")
    task = task_view(cast("Task", family.load("tasks", edge.task)), edge.embedded)
    (taken,), (given,) = session.inputs, session.outputs

    def preprocess(picture: NDArray[np.uint8]) -> Feeds:
        return {taken.name: np.ascontiguousarray(task.preprocess(picture, edge.options)[None], taken.dtype)}

    def inference(feeds: Feeds) -> Array:
        return np.asarray(session.run(feeds)[given.name][0])

    def postprocess(answer: Array) -> Array:
        return task.postprocess(answer, edge.options)

    spent = timing.time_steps((preprocess, inference, postprocess), edge.picture, turns, clock)
    found = dict(zip(STAGES, spent, strict=False))
    if hasattr(session, "run_timed"):
        feeds = preprocess(edge.picture)
        device = [cast("TimedSession", session).run_timed(feeds) for _ in range(turns)]
        for stage, field_ms in _DEVICE.items():
            found[stage] = tuple(round(getattr(times, field_ms) * 1e6) for times in device)
    return found
