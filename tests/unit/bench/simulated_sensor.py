"""A sensor whose power is known, for tests of the energy windows."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.bench import energy
from edgekd.core.clock import CLOCK

S = 1_000_000_000


@dataclass
class Simulated:
    """A sensor whose power, or counter, is a function of the clock."""

    watts: float = 10.0
    is_counter: bool = False
    fails_after: int = 10**9
    rails: tuple[str, ...] = ("VDD_IN", "VDD_SOC")
    total: tuple[str, ...] = ("VDD_IN",)
    description: str = "a simulated sensor"
    steps: tuple[float, ...] = (0.0, 0.0)
    range_j: tuple[float, ...] = (300.0, 300.0)
    refresh_s: float = 0.002
    reads: list[int] = field(default_factory=list)

    def read(self) -> tuple[float, ...]:
        self.reads.append(CLOCK())
        if len(self.reads) > self.fails_after:
            raise OSError("the I2C bus does not answer")
        now = self.watts * self.reads[-1] / S % 300.0 if self.is_counter else self.watts
        return now, now / 2

    def close(self) -> None:
        """Nothing is held."""


def simulate(monkeypatch, source: Simulated) -> Simulated:
    monkeypatch.setattr(energy, "open_sensor", lambda device, root: ("simulated", source))
    return source
