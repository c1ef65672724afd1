"""What edgekd's timing loop adds to an inference, beside a bare loop around the same onnxruntime session.

    python benchmarks/harness_cost.py [--onnx MODEL.onnx] [--rounds 30] [--block-ms 200] [--json]

Both loops run in one process, interleaved in balanced order, on the same session and the same feeds. Two ratios, each
with its 95 % interval over blocks: of the mean latency that the loops report, and of the wall time of whole blocks, in
which everything counts that the harness does (its list, its session's wrapper, resting the garbage collector, the look
at the machine after each block). What one look takes is told apart. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.backends.onnxruntime import BACKEND
from edgekd.bench.timing import Inference, time_block
from edgekd.core.config import BenchConfig
from edgekd.core.protocols import Feeds
from edgekd.machine.watch import MachineWatch
from edgekd.results.compare import ratio as ratio_of

Loop = Callable[[int], list[int]]
LIMIT = 1.01
_CHANNELS, _SIDE = 32, 128
_SHAPE = (1, _CHANNELS, _SIDE, _SIDE)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 where neither ratio is surely beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--onnx", type=Path, help="model to run; default: one 3x3 convolution, 32 channels of 128x128")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--block-ms", type=float, default=200.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        model = args.onnx or _convolution(Path(folder) / "convolution.onnx")
        found = compare_loops(model, args.rounds, args.block_ms, args.threads)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for name in ("reported", "wall"):
            ratio, low, high = (found[name][key] for key in ("ratio", "low", "high"))
            print(f"{name:8} harness / bare: {ratio:.4f} ({low:.4f}–{high:.4f}), limit {LIMIT}")
        print(
            f"{found['bare_us']:.1f} us an inference, {found['iterations']} a block, {found['rounds']} rounds; "
            f"one reading of the machine {found['reading_us']:.0f} us"
        )
    return 0 if max(found[name]["low"] for name in ("reported", "wall")) <= LIMIT else 1


def compare_loops(model: Path, rounds: int, block_ms: float, threads: int) -> dict[str, Any]:
    """Time both loops interleaved; return the ratio of time per inference with its 95 % interval."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Path(folder) / "model.engine"
        BACKEND.build(model, (), engine, threads=threads)
        session = BACKEND.open(engine, threads=threads)
    bare: onnxruntime.InferenceSession = session._session  # type: ignore[attr-defined]
    feeds = _feeds(bare)
    inference = partial(session.run, feeds)
    watch = MachineWatch(BenchConfig())
    loops: dict[str, Loop] = {"bare": partial(_bare_loop, bare, feeds), "harness": partial(_watched, inference, watch)}
    iterations = max(10, math.ceil(block_ms * 1e6 / _block(loops["bare"], 50)[0]))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    order = list(loops)
    gc.collect()
    gc.freeze()  # as measure() does around all of its blocks
    try:
        for _ in range(rounds):
            for name in order:
                found[name].append(_block(loops[name], iterations))
            order.reverse()
    finally:
        gc.unfreeze()
    harness, bare_ns = (np.array(found[name]) for name in ("harness", "bare"))
    ratios = {
        name: dict(zip(("ratio", "low", "high"), ratio_of([harness[:, i]], [bare_ns[:, i]], paired=True), strict=True))
        for i, name in enumerate(("reported", "wall"))
    }
    reading_us = float(np.median([_block(lambda _: [0] if watch.read() else [], 1)[1] for _ in range(200)])) / 1e3
    return {
        **ratios,
        "reading_us": reading_us,
        "bare_us": float(np.median(bare_ns[:, 0])) / 1e3,
        "iterations": iterations,
        "rounds": rounds,
    }


def _watched(inference: Inference, watch: MachineWatch, iterations: int) -> list[int]:
    """Do what ``measure`` does with one block."""
    samples = time_block(inference, iterations)
    watch.read()
    return samples


def _bare_loop(session: onnxruntime.InferenceSession, feeds: Feeds, iterations: int) -> list[int]:
    """Do the least that keeps raw samples: what anybody would write."""
    samples = []
    for _ in range(iterations):
        start = time.perf_counter_ns()  # noqa: TID251 -- the loop that edgekd's is held against
        session.run(None, feeds)
        samples.append(time.perf_counter_ns() - start)  # noqa: TID251
    return samples


def _block(loop: Loop, iterations: int) -> tuple[float, float]:
    """Return nanoseconds an inference: the mean of what the loop reports, and its wall time."""
    start = time.perf_counter_ns()  # noqa: TID251
    samples = loop(iterations)
    wall = time.perf_counter_ns() - start  # noqa: TID251
    return float(np.mean(samples)), wall / iterations


def _feeds(session: onnxruntime.InferenceSession) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    shapes = {t.name: [d if isinstance(d, int) else 1 for d in t.shape] for t in session.get_inputs()}
    return {name: generator.random(shape, np.float32) for name, shape in shapes.items()}


def _convolution(path: Path) -> Path:
    weight = np.random.default_rng(0).standard_normal((_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weight"], ["output"], pads=[1, 1, 1, 1])],
        "convolution",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, _SHAPE)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, _SHAPE)],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path)
    return path


if __name__ == "__main__":
    sys.exit(main())
