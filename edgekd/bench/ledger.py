"""What was seen around every block, and which rounds broke a rule: kept, labelled, and left out of the figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekd.core.conditions import Seen, Watched


@dataclass(slots=True)
class Ledger:
    """The blocks' conditions, written round by round.

    Attributes:
        rules: One a round: the first rule that a block of it broke, "" where none did.
    """

    rules: list[str] = field(default_factory=list)
    _seen: dict[str, list[Seen]] = field(default_factory=dict)

    def note(self, name: str, seen: Seen) -> None:
        """Write down what was seen after a candidate's block of the present round."""
        self._seen.setdefault(name, []).append(seen)

    def close_round(self) -> None:
        """Refuse the round, of all candidates alike, where one of its blocks broke a rule: pairs stay pairs."""
        self.rules.append(next((rule for of in self._seen.values() if (rule := of[-1].broken)), ""))

    def refused(self) -> tuple[str, ...]:
        """Return ``Run.refused``: one entry a round, or none where no round was refused."""
        return tuple(self.rules) if any(self.rules) else ()

    def watched(self, name: str) -> Watched:
        """Return one candidate's columns; one that says nothing at all is left empty."""
        seen = self._seen.get(name, [])

        def column(key: str) -> tuple[float | None, ...]:
            told = tuple(block.figures.get(key) for block in seen)
            return told if any(value is not None for value in told) else ()

        return Watched(column("temperature_c"), column("cpu_mhz"), column("gpu_mhz"), column("foreign_cores"))
