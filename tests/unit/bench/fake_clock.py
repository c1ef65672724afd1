"""A clock that the test moves, and inferences that move it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgekd.core.config import BenchConfig

MS = 1_000_000


@dataclass
class FakeClock:
    """A clock of nanoseconds.

    Attributes:
        now: What it shows.
        log: The keys of the inferences, in the order they ran.
        spent_ms: How long each of them took.
    """

    now: int = 1
    log: list[str] = field(default_factory=list)
    spent_ms: list[float] = field(default_factory=list)

    def read(self) -> int:
        """Return the time, ns."""
        return self.now

    def inference(self, key: str, *latencies_ms: float) -> Callable[[], None]:
        """Return an inference that takes these latencies, one after another; the last one again and again."""
        runs = 0

        def run() -> None:
            nonlocal runs
            latency_ms = latencies_ms[min(runs, len(latencies_ms) - 1)]
            runs += 1
            self.log.append(key)
            self.spent_ms.append(latency_ms)
            self.now += round(latency_ms * MS)

        return run


def config(**changes: object) -> BenchConfig:
    """Return a short measurement in one process."""
    quick = {
        "processes": 1,
        "min_rounds": 4,
        "ci_half_width": 0.01,
        "block_ms": 3.0,
        "min_iterations": 1,
        "warmup_ms": 0.0,
        "budget_s": 60.0,
    }
    return BenchConfig(**{**quick, **changes})
