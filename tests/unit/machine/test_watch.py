"""The machine's state between two blocks: what is read, and which rule a block broke."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.core.conditions import BlockConditions
from edgekd.core.config import BenchConfig
from edgekd.machine.nvml import card_here
from edgekd.machine.watch import MachineWatch
from tests.unit.machine.boards.trees import lay_out, write

SUPER = "orin_nano_8gb super, L4T 36.4.7"
PLAIN = BenchConfig()
MS = 1_000_000  # nanoseconds


class Machine:
    """Simulated counters of /proc/stat on two cores, a tick each 10 ms, and this process's own CPU time."""

    def __init__(self, root, names=("cpu0", "cpu1")):
        self.root, self.names, self.own_ns = root, names, 0
        self.busy, self.idle = 500, 9000
        self._write()

    def passes(self, ticks: int, *, own: int = 0, background: int = 0) -> None:
        """Let ``ticks`` of 10 ms pass on each core, of which this process and others take some in all."""
        self.own_ns += own * 10 * MS
        self.busy += own + background
        self.idle += ticks * len(self.names) - own - background
        self._write()

    def watch(self, config: BenchConfig = PLAIN) -> MachineWatch:
        return MachineWatch(config, self.root, lambda: self.own_ns)

    def _write(self):
        # user nice system idle iowait irq softirq steal guest guest_nice; guest time is in user's already.
        first = f"{self.busy} 0 0 {self.idle} 0 0 0 0 {self.busy} 0"
        lines = [
            f"cpu  {first}",
            f"{self.names[0]} {first}",
            *(f"{name} 0 0 0 0 0 0 0 0 0 0" for name in self.names[1:]),
        ]
        write(self.root, {"proc/stat": "\n".join([*lines, "intr 12 0", "ctxt 5"]) + "\n"})


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("ticks", "own", "background", "cores"),
    [(100, 100, 0, 0.0), (100, 100, 70, 0.7), (100, 0, 200, 2.0), (50, 100, 0, 0.0)],
)
def test_background_load_is_what_this_process_did_not_use(machine, ticks, own, background, cores):
    watch = machine.watch()
    machine.passes(ticks, own=own, background=background)
    assert watch.read().figures["background_cores"] == pytest.approx(cores)
    machine.passes(100)
    assert watch.read().figures["background_cores"] == 0.0  # since the last reading


def test_own_time_is_subtracted_finer_than_a_tick_and_never_below_zero(machine):
    watch = machine.watch()
    machine.passes(100, own=50)
    machine.own_ns += 3 * MS
    assert watch.read().figures["background_cores"] == 0.0


def test_a_container_counts_the_cores_it_may_run_on(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    machine = Machine(tmp_path, tuple(f"cpu{i}" for i in range(64)))
    watch = machine.watch()
    machine.passes(1, background=32)
    assert watch.read().figures["background_cores"] == pytest.approx(
        0.5
    )  # of cpu0 alone: the simulated load is all in its line


def test_without_proc_nothing_is_available(tmp_path):
    watch = MachineWatch(replace(PLAIN, max_background_load=0.0), tmp_path)
    assert set(watch.read().figures.values()) == {None}
    assert watch.read().violation == ""


def test_no_time_passed_gives_no_load(machine):
    assert machine.watch().read().figures["background_cores"] is None


@pytest.mark.parametrize(
    ("most", "ticks", "background", "violation"),
    [
        (None, 100, 200, ""),
        (0.5, 100, 140, "background load 1.4 cores, limit 1.0"),
        (0.5, 100, 90, ""),
        (0.5, 5, 6, ""),  # 1.2 cores, give or take two ticks of ten
        (0.5, 5, 10, "background load 2.0 cores, limit 1.0"),
        (0.0, 100, 30, "background load 0.3 cores, limit 0.0"),
    ],
)
def test_a_crowded_block_breaks_the_rule_where_there_is_one(machine, most, ticks, background, violation):
    watch = machine.watch(replace(PLAIN, max_background_load=most))
    machine.passes(ticks, background=background)
    assert watch.read().violation == violation


def test_a_board_that_throttles_is_recorded_and_refused_where_the_rule_is_set(tmp_path):
    lay_out(SUPER, tmp_path)
    clock, temperature = "sys/class/devfreq/17000000.gpu/cur_freq", "sys/class/thermal/thermal_zone0/temp"
    lenient, strict = (MachineWatch(replace(PLAIN, refuse_throttled=rule), tmp_path) for rule in (False, True))
    assert strict.read().violation == ""
    write(tmp_path, {clock: "918000000"})
    assert strict.read().violation == "gpu at 918 MHz, pinned to 1020"
    write(tmp_path, {clock: "1020000000", temperature: "99500"})
    assert strict.read().violation == "99.5 °C, throttled from 99.0 on"
    assert lenient.read().violation == ""
    limited = lenient.with_limits(BlockConditions(temperature_c=(99.5,)))
    assert (limited.temperature_c, limited.trip_c, limited.pinned_mhz) == ((99.5,), 99.0, {"gpu": 1020.0})
    assert limited.throttled(0) == "99.5 °C, throttled from 99.0 on"


def test_the_background_rule_comes_before_throttling(tmp_path):
    lay_out(SUPER, tmp_path)
    machine = Machine(tmp_path)
    watch = machine.watch(replace(PLAIN, refuse_throttled=True, max_background_load=0.0))
    machine.passes(100, background=100)
    write(tmp_path, {"sys/class/devfreq/17000000.gpu/cur_freq": "306000000"})
    assert watch.read().violation.startswith("background load")
    machine.passes(100)
    assert watch.read().violation.startswith("gpu at 306 MHz")


def test_a_card_s_figures_replace_the_kernel_s(simulated_nvml, tmp_path, monkeypatch):
    with card_here(tmp_path, simulated_nvml) as card:
        watch = MachineWatch(replace(PLAIN, refuse_throttled=True), tmp_path, card=card)
        reading = watch.read()
        assert (reading.figures["temperature_c"], reading.figures["gpu_mhz"]) == (61.0, 1755.0)
        assert reading.violation == ""
        limited = watch.with_limits(BlockConditions())
        assert (limited.trip_c, limited.pinned_mhz) == (None, {})
        monkeypatch.setenv("SIMULATED_NVML", "lost")
        reading = watch.read()
        assert (reading.figures["temperature_c"], reading.figures["gpu_mhz"]) == (None, None)


@pytest.mark.parametrize("state", ["dead", "jetson"])
def test_no_card_where_the_driver_reports_no_clock(simulated_nvml, tmp_path, monkeypatch, state):
    monkeypatch.setenv("SIMULATED_NVML", state)
    with card_here(tmp_path, simulated_nvml) as card:
        assert card is None
    with card_here(tmp_path, str(tmp_path / "absent.so")) as card:
        assert card is None


def test_a_jetson_is_read_from_its_kernel_even_if_nvml_answers(simulated_nvml, tmp_path):
    lay_out(SUPER, tmp_path)
    with card_here(tmp_path, simulated_nvml) as card:
        assert card is None
