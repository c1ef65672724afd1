"""What the machine did around every block, and which rounds violated a rule. Refused rounds are kept and labelled."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.core.conditions import BlockConditions, BlockReading


@dataclass(slots=True)
class RoundLog:
    """The conditions of all blocks, recorded round by round.

    Attributes:
        rules: One a round: the first rule that one of its blocks violated, "" where none did.
    """

    rules: list[str] = field(default_factory=list)
    _readings: dict[str, list[BlockReading]] = field(default_factory=dict)

    def note(self, key: str, reading: BlockReading) -> None:
        """Record the reading after a candidate's block of the present round."""
        self._readings.setdefault(key, []).append(reading)

    def close_round(self) -> None:
        """End the round. One violation refuses the blocks of all candidates, so that pairs stay pairs."""
        violations = [readings[-1].violation for readings in self._readings.values()]
        self.rules.append(next(filter(None, violations), ""))

    def refused(self) -> tuple[str, ...]:
        """Return ``Run.refused``: one entry a round, empty where no round was refused."""
        return tuple(self.rules) if any(self.rules) else ()

    def block_conditions(self, key: str) -> BlockConditions:
        """Return one candidate's columns; a column without any figure is empty."""
        return BlockConditions(
            temperature_c=self._column(key, "temperature_c"),
            cpu_mhz=self._column(key, "cpu_mhz"),
            gpu_mhz=self._column(key, "gpu_mhz"),
            background_cores=self._column(key, "background_cores"),
        )

    def _column(self, key: str, name: str) -> tuple[float | None, ...]:
        figures = tuple(reading.figures.get(name) for reading in self._readings.get(key, []))
        return figures if any(figure is not None for figure in figures) else ()
