"""MLPerf's scenarios: which inferences make up one timed query, and who runs them.

* ``single_stream``: one inference; the next begins when it has ended.
* ``multi_stream``: eight samples, as one batch where the engine takes it, one after another where not.
* ``offline``: samples that are all there at once, shared out among ``streams`` sessions side by side; its throughput
  counts, its latency is the whole query's.

Differs from MLPerf: offline's query has 24 samples, not 24 576, and is repeated like any other; there is no load
generator, and accuracy is scored apart. Source: mlcommons/inference_policies, inference_rules.adoc.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

import numpy as np

from edgekd.bench.timing import Inference
from edgekd.core.config import BenchConfig
from edgekd.core.protocols import Feeds, Session
from edgekd.core.tensor import TensorSpec

# Samples in one query.
SAMPLES = {"single_stream": 1, "multi_stream": 8, "offline": 24}

Query = tuple[Feeds, ...]


def query(inputs: Sequence[TensorSpec], samples: Sequence[Feeds], config: BenchConfig) -> Query:
    """Make the query that is timed again and again.

    Args:
        inputs: The engine's.
        samples: At least one, each as the engine takes it; taken in turn where the scenario wants more.
        config: ``scenario``.

    Returns:
        One entry an inference.
    """
    count = SAMPLES[config.scenario]
    chosen = tuple(samples[index % len(samples)] for index in range(count))
    if config.scenario != "multi_stream":
        return chosen
    batch = {spec.name: np.concatenate([np.atleast_1d(feeds[spec.name]) for feeds in chosen]) for spec in inputs}
    return (batch,) if all(spec.admits(batch[spec.name].shape) for spec in inputs) else chosen


def samples_in(asked: Query) -> int:
    """Return how many samples a query has: the batches of its inferences together."""
    return sum(batch_of(feeds) for feeds in asked)


def batch_of(feeds: Feeds) -> int:
    """Return the first dimension of the first input, 1 where that is a scalar."""
    shape = next(iter(feeds.values())).shape
    return int(shape[0]) if shape else 1


@contextlib.contextmanager
def open_query(
    open_session: Callable[[], Session], asked: Query, config: BenchConfig
) -> Iterator[tuple[Inference, Session]]:
    """Open an engine and yield (what runs one query, a session for questions about the engine); both close at the end.

    Args:
        open_session: Opens one session; called once more for each stream of ``offline``.
        asked: The query.
        config: ``streams``.

    Raises:
        EdgeKDError: The engine does not open, as many times as there are streams.
    """
    with contextlib.closing(open_session()) as session:
        if config.streams == 1:
            # A query of one inference is called without a loop around it: the loop would count as latency.
            run = partial(session.run, asked[0]) if len(asked) == 1 else partial(_run_sequentially, session, asked)
            yield run, session
            return
        with _Streams(open_session, config.streams) as streams:
            yield partial(streams.run, asked), session


def _run_sequentially(session: Session, asked: Query) -> None:
    run = session.run
    for feeds in asked:
        run(feeds)


class _Streams:
    """Sessions side by side, each in its own thread, because a CUDA context belongs to the thread that opened it."""

    def __init__(self, open_session: Callable[[], Session], count: int) -> None:
        self._threads = [ThreadPoolExecutor(1) for _ in range(count)]
        self._open_session = open_session
        self._sessions: list[Session] = []

    def __enter__(self) -> _Streams:
        with contextlib.ExitStack() as undo:
            undo.callback(self.__exit__)
            for thread in self._threads:
                self._sessions.append(thread.submit(self._open_session).result())
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for thread, session in zip(self._threads, self._sessions, strict=False):
            thread.submit(session.close).result()
        for thread in self._threads:
            thread.shutdown()

    def run(self, asked: Query) -> None:
        """Share a query's inferences out among the sessions, and wait for all of them."""
        waiting: queue.SimpleQueue[Feeds] = queue.SimpleQueue()
        for feeds in asked:
            waiting.put(feeds)
        futures = [
            thread.submit(_drain, session, waiting)
            for thread, session in zip(self._threads, self._sessions, strict=True)
        ]
        wait(futures)
        for future in futures:
            future.result()  # raises what its thread raised


def _drain(session: Session, waiting: queue.SimpleQueue[Feeds]) -> None:
    """Run inferences until none is waiting."""
    with contextlib.suppress(queue.Empty):
        while True:
            session.run(waiting.get_nowait())
