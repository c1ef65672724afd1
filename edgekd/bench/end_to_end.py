"""Where the time goes between an image and its answer: preprocess, inference, postprocess.

Measured after the latencies, in the same processes, on one image. Where the library times the device by events,
inference is split again, in trtexec's words, into ``h2d``, ``compute`` and ``d2h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekd.bench import timing
from edgekd.core import family
from edgekd.core.clock import CLOCK, Clock
from edgekd.core.errors import InputError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.preprocessing import task_view
from edgekd.core.protocols import Array, Feeds, Session, Task, TimedSession
from edgekd.results.result import END_TO_END

# The fields of core.protocols.DeviceTimes, by stage.
_DEVICE = {"h2d": "h2d_ms", "compute": "gpu_compute_ms", "d2h": "d2h_ms"}


def split(
    session: Session, network: NetworkInfo, image: NDArray[np.uint8], repeats: int, clock: Clock = CLOCK
) -> dict[str, tuple[int, ...]]:
    """Time every stage of ``repeats`` answers.

    Args:
        session: An open engine with one input and one output.
        network: Its task, the task's options, and whether the graph includes the preprocessing.
        image: (H, W, 3) uint8, of the size that the task's ``preprocess`` takes.
        repeats: How often.
        clock: Nanoseconds.

    Returns:
        Stage (of ``results.result.END_TO_END``) → nanoseconds, one figure a repeat.

    Raises:
        InputError: The engine does not take what ``preprocess`` gives, or has several inputs or outputs.
    """
    if len(session.inputs) != 1 or len(session.outputs) != 1:
        counts = f"{len(session.inputs)} inputs and {len(session.outputs)} outputs"
        raise InputError(f"the engine has {counts}; one of each was expected, to feed it an image")
    task = task_view(cast("Task", family.load("tasks", network.task)), network.includes_preprocessing, network.input)
    options: Mapping[str, Any] = network.task_options
    (input_spec,), (output_spec,) = session.inputs, session.outputs

    def preprocess(picture: NDArray[np.uint8]) -> Feeds:
        return {input_spec.name: np.ascontiguousarray(task.preprocess(picture, options)[None], input_spec.dtype)}

    def inference(feeds: Feeds) -> Array:
        return np.asarray(session.run(feeds)[output_spec.name][0])

    def postprocess(output: Array) -> Array:
        return task.postprocess(output, options)

    spent = timing.time_steps((preprocess, inference, postprocess), image, repeats, clock)
    found = dict(zip(END_TO_END, spent, strict=False))
    if isinstance(session, TimedSession):
        feeds = preprocess(image)
        device = [session.run_timed(feeds) for _ in range(repeats)]
        for stage, field_ms in _DEVICE.items():
            found[stage] = tuple(round(getattr(times, field_ms) * 1e6) for times in device)
    return found
