"""Energy: integrals that can be worked out on paper, simulated sensors, and a real process on the null backend."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.bench import energy, suite
from edgekd.bench.candidate import Candidate
from edgekd.bench.energy import Series, measure, unwrapped, window_of
from edgekd.bench.plan import BenchPlan
from edgekd.core.config import BenchConfig
from edgekd.core.errors import MachineError
from edgekd.core.reporter import QuietReporter
from edgekd.core.tensor import TensorSpec
from edgekd.machine import power
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import read_result
from tests.unit.bench.engines import candidate, null_engine
from tests.unit.bench.simulated_sensor import S, Simulated, simulate
from tests.unit.machine.boards.trees import lay_out, write

FEEDS = {"x": np.zeros((1, 4), np.float32)}
CONFIG = BenchConfig("null", processes=2, threads=1, energy_s=0.2)


def series(power, times_s) -> Series:
    at = np.array(times_s)
    return Series((at * S).astype(np.int64), np.stack([power(at), 0 * at], axis=1))


SPANS = {"idle_ns": (1 * S, 2 * S), "busy_ns": (3 * S, 7 * S), "inferences": 100}


def test_the_trapezoid_of_a_straight_line_is_exact_between_readings_too():
    """Power 2t + 1 W: 3 to 7 s hold 49 + 7 - 9 - 3 = 44 J, 1 to 2 s hold 4 J; no reading falls on an end."""
    found = window_of(series(lambda t: 2 * t + 1, np.arange(0.13, 9, 0.21)), SPANS, Simulated())
    assert found.joules["VDD_IN"] == pytest.approx(44.0, rel=1e-9)
    assert found.idle_w["VDD_IN"] == pytest.approx(4.0, rel=1e-9)
    assert (found.busy_s, found.idle_s, found.inferences) == (4.0, 1.0, 100)


@pytest.mark.parametrize(("rate_hz", "off"), [(10, 2e-2), (100, 2e-4), (1000, 2e-6)])
def test_a_faster_sensor_comes_nearer_to_a_wave(rate_hz, off):
    """10 + 5 sin(5t) W: its integral is known; the trapezoid's error falls with the square of the rate."""
    exact = 10 * 4 + (math.cos(15) - math.cos(35))
    found = window_of(series(lambda t: 10 + 5 * np.sin(5 * t), np.arange(0, 9, 1 / rate_hz)), SPANS, Simulated())
    assert abs(found.joules["VDD_IN"] - exact) < off * exact


def test_a_counter_tells_its_difference():
    source = Simulated(is_counter=True)
    found = window_of(series(lambda t: 7.0 * t, np.arange(0, 9, 0.1)), SPANS, source)
    assert found.joules["VDD_IN"] == pytest.approx(28.0)
    assert found.idle_w["VDD_IN"] == pytest.approx(7.0)


def test_a_counter_that_wraps_around_goes_on():
    source = replace(Simulated(is_counter=True), range_j=(262.0, 5.0), steps=(0.0, 0.0))
    true = np.stack([np.linspace(100, 900, 50), np.linspace(0, 9, 50)], axis=1)
    np.testing.assert_allclose(np.diff(unwrapped(true % np.array([262.0, 5.0]), source), axis=0), np.diff(true, axis=0))
    power = replace(source, is_counter=False)
    np.testing.assert_array_equal(unwrapped(true, power), true)


def test_the_sensors_error_is_of_steps_and_of_what_lies_between_readings():
    times = np.arange(0.05, 9, 0.1)
    steady = window_of(series(lambda t: 0 * t + 5, times), SPANS, replace(Simulated(), steps=(0.12, 0.0)))
    # A steady power is rounded alike in each of 40 readings: 0.12 / sqrt(12) W for 4 s.
    assert steady.busy_error_j == pytest.approx(4 * 0.12 / math.sqrt(12))
    assert steady.idle_error_w == pytest.approx(0.12 / math.sqrt(12))
    rng = np.random.default_rng(0)
    noisy = window_of(series(lambda t: rng.normal(5, 1, len(t)), times), SPANS, Simulated())
    assert noisy.busy_error_j == pytest.approx(4 * 1 / math.sqrt(noisy.samples), rel=0.4)
    counter = window_of(series(lambda t: 5 * t, times), SPANS, replace(Simulated(is_counter=True), refresh_s=0.1))
    assert counter.busy_error_j == pytest.approx(5 * 0.1 / math.sqrt(6))


def test_too_few_readings_are_no_integral():
    with pytest.raises(MachineError, match=r"2 readings in 4.00 s, 3 are needed; raise bench.energy_s"):
        window_of(series(lambda t: t, [0, 1.1, 1.2, 1.3, 1.4, 3.5, 6.5, 9]), SPANS, Simulated())


def test_energy_of_an_inference_with_and_without_idle():
    window = EnergyWindow(100, 2.0, 1.0, {"A": 12.0, "B": 4.0, "C": 1.0}, {"A": 2.0, "B": 1.0, "C": 0.1}, 50, 0.3, 0.1)
    found = Energy("ina3221", "", ("A", "B"), (window, replace(window, joules={"A": 14.0, "B": 4.0, "C": 1.0})))
    np.testing.assert_allclose(found.mj, [160, 180])
    np.testing.assert_allclose(found.above_idle_mj, [100, 120])
    np.testing.assert_allclose(found.error_mj, [3, 3])
    np.testing.assert_allclose(found.above_idle_error_mj, [10 * math.hypot(0.3, 0.2)] * 2)
    assert (found.watts, found.idle_watts, found.rate_hz) == (8.5, 3.0, 25.0)
    assert found.rail_mj("C") == 10.0
    assert found.sensor_share == pytest.approx(1.96 * 3 / 170, rel=1e-3)


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    return null_engine(tmp_path_factory.mktemp("null"), (TensorSpec("x", (1, 4), "float32"),))


@pytest.fixture
def pair(engine, tmp_path) -> list[Candidate]:
    return [candidate(key, engine, FEEDS, tmp_path) for key in "ab"]


QUIET = QuietReporter()


def test_a_sensor_that_goes_while_the_engine_runs_gives_no_figure(pair, monkeypatch):
    simulate(monkeypatch, Simulated(fails_after=5))
    found = measure(pair[:1], CONFIG, QUIET)
    assert found.by_key == {}
    assert "the I2C bus does not answer" in found.reason


def test_complete_windows_before_a_failure_count(pair, monkeypatch):
    simulate(monkeypatch, Simulated())
    real, calls = energy._window, []

    def third_fails(*given):
        calls.append(given)
        if len(calls) == 4:
            raise MachineError("the sensor has gone")
        return real(*given)

    monkeypatch.setattr(energy, "_window", third_fails)
    found = measure(pair, CONFIG, QUIET)
    assert [len(of.windows) for of in found.by_key.values()] == [1, 1]
    assert found.reason == "1 of 2 windows were measured: the sensor has gone"
    assert [given[0].key for given in calls] == ["a", "b", "b", "a"]  # balanced order


def test_an_engine_that_cannot_run_gives_the_reason(monkeypatch, tmp_path):
    simulate(monkeypatch, Simulated())
    found = measure([candidate("a", tmp_path / "gone.engine", FEEDS, tmp_path)], CONFIG, QUIET)
    assert found.by_key == {}
    assert "gone.engine" in found.reason


def test_without_a_sensor_there_is_a_reason_and_no_process(tmp_path):
    never_opened = Candidate("a", tmp_path / "never opened")
    found = measure([never_opened], replace(CONFIG, backend="onnxruntime"), QUIET, tmp_path)
    assert found.by_key == {}
    assert found.reason.startswith("no sensor can be read: rapl: ")
    assert "ina3221" not in found.reason  # only a Jetson has one
    assert measure([], replace(CONFIG, energy_s=0.0), QUIET).reason == "bench.energy_s is 0"


def test_the_best_reader_of_the_place_is_opened(tmp_path):
    lay_out("orin_nano_8gb super, L4T 36.4.7", tmp_path)
    zone = "sys/class/powercap/intel-rapl:0/"
    write(tmp_path, {f"{zone}name": "package-0", f"{zone}energy_uj": "1", f"{zone}max_energy_range_uj": "9"})
    assert power.open_sensor("gpu", tmp_path)[0] == "ina3221"
    assert power.open_sensor("cpu", tmp_path)[0] == "ina3221"
    found = power.sensors(tmp_path)
    assert list(found) == ["ina3221", "nvml", "rapl", "tegrastats"]
    assert isinstance(found["tegrastats"], str)
    write(tmp_path / "pc", {f"{zone}name": "package-0", f"{zone}energy_uj": "1"})
    assert power.open_sensor("cpu", tmp_path / "pc")[0] == "rapl"
    with pytest.raises(MachineError, match="nvml: "):
        power.open_sensor("gpu", tmp_path / "pc")  # the processor's counters do not see a GPU


class Messages(QuietReporter):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_a_bench_stores_energy_with_its_candidate(engine, monkeypatch, tmp_path):
    """The whole of bench on the null backend; only the sensor is simulated."""
    simulate(monkeypatch, Simulated())
    reporter = Messages()
    config = replace(CONFIG, processes=1, min_rounds=2, block_ms=1.0, warmup_ms=1.0)
    candidates, plan = [Candidate("model/fp32", engine, "ab" * 32)], BenchPlan("energy", config)
    made = suite.run(candidates, plan, tmp_path / "result.json", reporter)
    result = read_result(tmp_path / "result.json")
    assert result.candidates[0].energy.watts == pytest.approx(10.0)
    assert not any("energy" in note for note in result.notes)
    assert any("energy by simulated, in 1 windows of 0.2 s" in message for message in reporter.messages)
    assert result.conditions.gpu_timing == {}
    parts = [stage.name for stage in result.stage_seconds]
    assert parts == ["bench accuracy", "bench latency", "bench memory and nodes", "bench energy"]

    (first,) = result.candidates
    made = suite.extend(candidates, plan, made, reporter)
    (more,) = read_result(made.path).candidates
    assert (len(more.runs), len(more.energy.windows)) == (2, 2)
    assert (more.runs[:1], more.energy.windows[:1]) == (first.runs, first.energy.windows)
    assert replace(more, runs=first.runs, energy=first.energy) == first
    simulate(monkeypatch, Simulated(fails_after=0))
    longest = suite.extend(candidates, plan, made, reporter)
    assert read_result(longest.path).candidates[0].energy == more.energy
    assert longest.facts["timed_s"] > made.facts["timed_s"] > 0
