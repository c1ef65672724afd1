"""Energy windows of real processes, which need a sensor that is read on time: nothing else may run meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.bench.candidate import Candidate
from edgekd.bench.energy import measure
from edgekd.core.config import BenchConfig
from edgekd.core.reporter import QuietReporter
from edgekd.core.tensor import TensorSpec
from tests.unit.bench.engines import candidate, null_engine
from tests.unit.bench.simulated_sensor import Simulated, simulate

CONFIG = BenchConfig("null", processes=2, threads=1, energy_s=0.2)


@pytest.fixture
def pair(tmp_path: Path) -> list[Candidate]:
    engine = null_engine(tmp_path, (TensorSpec("x", (1, 4), "float32"),))
    return [candidate(key, engine, {"x": np.zeros((1, 4), np.float32)}, tmp_path) for key in "ab"]


@pytest.mark.parametrize(("counts", "off"), [(False, 1e-9), (True, 0.5)])
def test_fresh_processes_run_while_the_sensor_is_read(
    pair: list[Candidate], monkeypatch: pytest.MonkeyPatch, counts: bool, off: float
) -> None:
    """Real processes, a real clock; the sensor is simulated: 10 W whatever happens. A busy machine reads it late."""
    simulate(monkeypatch, Simulated(is_counter=counts))
    found = measure(pair, CONFIG, QuietReporter())
    assert found.reason == ""
    for name in "ab":
        mine = found.by_key[name]
        assert (mine.sensor, mine.description, len(mine.windows)) == ("simulated", "a simulated sensor", 2)
        assert mine.watts == pytest.approx(10.0, rel=off)
        assert mine.idle_watts == pytest.approx(10.0, rel=off)
        assert all(w.inferences > 10 and w.busy_s >= 0.2 and w.idle_s >= 0.1 for w in mine.windows)
        assert float(np.mean(mine.above_idle_mj)) == pytest.approx(0.0, abs=off * float(np.mean(mine.mj)))
