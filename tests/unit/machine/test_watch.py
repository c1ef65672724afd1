"""Looks between two blocks: what is noted, which rule a block broke, and what becomes of its round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.bench.ledger import Ledger
from edgekd.bench.processes import _ensure_kept, _throttled
from edgekd.bench.timing import measure
from edgekd.core.conditions import Seen, Watched
from edgekd.core.config import BenchConfig
from edgekd.core.errors import MachineError
from edgekd.machine.nvml import card_here
from edgekd.machine.watch import MachineWatch
from edgekd.results.result import Run
from tests.unit.bench.test_timing import MS, Ring, config
from tests.unit.machine.boards.trees import lay_out, write

SUPER = "orin_nano_8gb super, L4T 36.4.7"
PLAIN = BenchConfig()


class Machine:
    """Simulated counters of /proc/stat on two cores, a tick each 10 ms, and this process's own CPU time."""

    def __init__(self, root, names=("cpu0", "cpu1")):
        self.root, self.names, self.own_ns = root, names, 0
        self.busy, self.idle = 500, 9000
        self._write()

    def passes(self, ticks: int, *, own: int = 0, foreign: int = 0) -> None:
        """Let ``ticks`` of 10 ms pass on each core, of which this process and others take some in all."""
        self.own_ns += own * 10 * MS
        self.busy += own + foreign
        self.idle += ticks * len(self.names) - own - foreign
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
    ("ticks", "own", "foreign", "cores"),
    [(100, 100, 0, 0.0), (100, 100, 70, 0.7), (100, 0, 200, 2.0), (50, 100, 0, 0.0)],
)
def test_foreign_load_is_what_this_process_did_not_use(machine, ticks, own, foreign, cores):
    watch = machine.watch()
    machine.passes(ticks, own=own, foreign=foreign)
    assert watch().figures["foreign_cores"] == pytest.approx(cores)
    machine.passes(100)
    assert watch().figures["foreign_cores"] == 0.0  # since the last look


def test_own_time_is_taken_off_finer_than_a_tick_and_never_below_nothing(machine):
    watch = machine.watch()
    machine.passes(100, own=50)
    machine.own_ns += 3 * MS
    assert watch().figures["foreign_cores"] == 0.0


def test_a_container_counts_the_cores_it_may_run_on(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    machine = Machine(tmp_path, tuple(f"cpu{i}" for i in range(64)))
    watch = machine.watch()
    machine.passes(1, foreign=32)
    assert watch().figures["foreign_cores"] == pytest.approx(0.5)  # of cpu0, whose line has them all


def test_without_proc_nothing_is_told(tmp_path):
    watch = MachineWatch(replace(PLAIN, max_foreign_load=0.0), tmp_path)
    assert set(watch().figures.values()) == {None}
    assert watch().broken == ""


def test_time_that_did_not_pass_tells_nothing(machine):
    assert machine.watch()().figures["foreign_cores"] is None


@pytest.mark.parametrize(
    ("most", "ticks", "foreign", "broken"),
    [
        (None, 100, 200, ""),
        (0.5, 100, 140, "foreign load 1.4 cores above 1.0"),
        (0.5, 100, 90, ""),
        (0.5, 5, 6, ""),  # 1.2 cores, give or take two ticks of ten
        (0.5, 5, 10, "foreign load 2.0 cores above 1.0"),
        (0.0, 100, 30, "foreign load 0.3 cores above 0.0"),
    ],
)
def test_a_crowded_block_breaks_the_rule_where_there_is_one(machine, most, ticks, foreign, broken):
    watch = machine.watch(replace(PLAIN, max_foreign_load=most))
    machine.passes(ticks, foreign=foreign)
    assert watch().broken == broken


def test_a_board_that_throttles_is_noted_and_refused_where_asked(tmp_path):
    lay_out(SUPER, tmp_path)
    clock, heat = "sys/class/devfreq/17000000.gpu/cur_freq", "sys/class/thermal/thermal_zone0/temp"
    noted, refused = (MachineWatch(replace(PLAIN, refuse_throttled=asked), tmp_path) for asked in (False, True))
    assert refused().broken == ""
    write(tmp_path, {clock: "918000000"})
    assert refused().broken == "gpu at 918 MHz, pinned to 1020"
    write(tmp_path, {clock: "1020000000", heat: "99500"})
    assert refused().broken == "99.5 °C, throttled from 99.0 on"
    assert noted().broken == ""
    run = Run(((1,),), 0, watched=noted.with_limits(Watched(temperature_c=(99.5,))))
    assert (run.watched.trip_c, run.watched.pinned_mhz) == (99.0, {"gpu": 1020.0})
    assert run.watched.throttled(0) == "99.5 °C, throttled from 99.0 on"
    (said,) = _throttled({"a": [run]}, PLAIN)
    assert said.startswith("1 of 1 blocks were throttled (99.5 °C, throttled from 99.0 on) and count all the same")
    assert _throttled({"a": [run]}, replace(PLAIN, refuse_throttled=True)) == []


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        (Watched(), ""),
        (Watched(temperature_c=(80.0,)), ""),
        (Watched(temperature_c=(None,), trip_c=90.0), ""),
        (Watched(temperature_c=(90.0,), trip_c=90.0), "90.0 °C, throttled from 90.0 on"),
        (Watched(cpu_mhz=(1700.0,), pinned_mhz={"cpu": 1728.0}), ""),
        (Watched(cpu_mhz=(1600.0,), pinned_mhz={"gpu": 1728.0}), ""),
        (Watched(cpu_mhz=(1600.0,), pinned_mhz={"cpu": 1728.0}), "cpu at 1600 MHz, pinned to 1728"),
    ],
)
def test_what_throttling_is(watched, said):
    assert watched.throttled(0) == said


def scripted(*broken: str):
    """A watch that says what it is told, look by look; the first look is before any block."""
    looks = iter(["", *broken])

    def watch() -> Seen:
        rule = next(looks, "")
        return Seen({"foreign_cores": 1.5 if rule else 0.1}, rule)

    return watch


def test_a_card_is_seen_in_the_kernels_place(simulated_nvml, tmp_path, monkeypatch):
    with card_here(tmp_path, simulated_nvml) as card:
        watch = MachineWatch(replace(PLAIN, refuse_throttled=True), tmp_path, card=card)
        seen = watch()
        assert (seen.figures["temperature_c"], seen.figures["gpu_mhz"], seen.broken) == (61.0, 1755.0, "")
        run = Run(((1,),), 0, watched=watch.with_limits(Watched()))
        assert (run.watched.trip_c, run.watched.pinned_mhz) == (None, {})
        monkeypatch.setenv("SIMULATED_NVML", "lost")
        seen = watch()
        assert (seen.figures["temperature_c"], seen.figures["gpu_mhz"]) == (None, None)


@pytest.mark.parametrize("says", ["dead", "jetson"])
def test_no_card_where_the_driver_tells_nothing(simulated_nvml, tmp_path, monkeypatch, says):
    monkeypatch.setenv("SIMULATED_NVML", says)
    with card_here(tmp_path, simulated_nvml) as card:
        assert card is None
    with card_here(tmp_path, str(tmp_path / "absent.so")) as card:
        assert card is None


def test_a_jetson_is_read_from_its_kernel_whatever_its_driver_says(simulated_nvml, tmp_path):
    lay_out(SUPER, tmp_path)
    with card_here(tmp_path, simulated_nvml) as card:
        assert card is None


def test_a_round_is_refused_for_all_candidates_and_run_again():
    ring = Ring()
    turns = {name: ring.bout(name, 3.0) for name in "ab"}
    runs = measure(turns, config(blocks=3), clock=ring.clock, watch=scripted("", "", "", "loud", "", ""))
    for name in "ab":
        assert len(runs[name].blocks_ns) == 4
        assert runs[name].refused == ("", "loud", "", "")
        assert len(runs[name].kept_ns) == 3
    # The second round ran b first.
    assert runs["a"].watched.foreign_cores == (0.1, 1.5, 0.1, 0.1)
    assert runs["b"].watched.foreign_cores == (0.1, 0.1, 0.1, 0.1)
    assert runs["a"].watched.temperature_c == ()


def test_rounds_are_run_again_until_the_budget_ends_and_no_longer():
    ring = Ring()
    run = measure({"a": ring.bout("a", 100.0)}, config(budget_s=1.0), clock=ring.clock, watch=lambda: Seen({}, "loud"))[
        "a"
    ]
    assert set(run.refused) == {"loud"}
    assert run.kept_ns == ()
    assert len(run.blocks_ns) < 12
    with pytest.raises(MachineError, match=r"all \d rounds were refused, the last for loud; calm the machine"):
        _ensure_kept([run])


def test_a_process_that_kept_nothing_is_left_out_and_the_others_count():
    lost, kept = Run(((1,), (2,)), 0, refused=("loud", "loud")), Run(((3,), (4,)), 0, refused=("", "loud"))
    _ensure_kept([lost, kept])
    assert (lost.kept_ns, kept.kept_ns) == ((), ((3,),))


def test_nobody_watches_where_nobody_asked():
    ring = Ring()
    run = measure({"a": ring.bout("a", 3.0)}, config(), clock=ring.clock)["a"]
    assert (run.watched, run.refused) == (Watched(), ())


def test_a_ledger_keeps_the_first_rule_of_a_round():
    ledger = Ledger()
    for name, rule in (("a", ""), ("b", "loud"), ("c", "hot")):
        ledger.note(name, Seen({}, rule))
    ledger.close_round()
    assert ledger.refused() == ("loud",)
