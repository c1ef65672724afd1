"""Conditions: which differences make two results incomparable, and which blocks count as throttled."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from edgekd.core.clock import stopwatch
from edgekd.core.conditions import WORKSTATION, BlockConditions, BlockReading, Conditions, no_watch

PC = Conditions(
    target=WORKSTATION,
    processor="Some CPU",
    backend="null",
    libraries={"numpy": "2.0"},
    threads=2,
    cores=4,
    batch=1,
    scenario="single_stream",
    clock="time.perf_counter_ns",
)
BOARD = replace(
    PC,
    target="NVIDIA Jetson Orin Nano",
    l4t="36.4.3",
    power_mode="25W",
    tpc_mask=0,
    clock_limits_mhz={"gpu_min": 306.0, "gpu_max": 918.0},
)
# A value for each field that differs from those above.
OTHER = {
    "target": "NVIDIA Jetson AGX Orin",
    "processor": "Another CPU",
    "backend": "another",
    "libraries": {"numpy": "2.1"},
    "threads": 1,
    "cores": None,
    "batch": 2,
    "scenario": "offline",
    "clock": "another",
    "governor": "performance",
    "streams": 2,
    "l4t": "39.2.0",
    "power_mode": "MAXN",
    "tpc_mask": 252,
    "clock_limits_mhz": {"gpu_max": 408.0},
    "gpu_timing": {"spin_wait": "on"},
}
ON_BOARDS = ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz")


def test_every_field_has_another_value():
    assert set(OTHER) == {field.name for field in fields(Conditions)}


@pytest.mark.parametrize("conditions", [PC, BOARD])
def test_equal_conditions_do_not_differ(conditions):
    assert conditions.differs_from(replace(conditions)) == {}


@pytest.mark.parametrize("name", OTHER)
def test_a_field_that_both_have_must_be_equal(name):
    mine = replace(BOARD, gpu_timing={"spin_wait": "off"})
    found = mine.differs_from(replace(mine, **{name: OTHER[name]}))
    assert list(found) == [name]
    if name != "clock_limits_mhz":
        assert found[name] == (getattr(mine, name), OTHER[name])


@pytest.mark.parametrize("name", [*ON_BOARDS, "gpu_timing"])
def test_on_a_workstation_a_field_that_one_side_lacks_is_no_difference(name):
    known = replace(PC, **{name: OTHER[name]})
    assert PC.differs_from(known) == {}
    assert known.differs_from(PC) == {}


@pytest.mark.parametrize("name", ON_BOARDS)
def test_on_a_board_a_field_that_one_side_lacks_is_a_difference(name):
    without = replace(BOARD, **{name: {} if name == "clock_limits_mhz" else None})
    assert BOARD.differs_from(without) == {name: (getattr(BOARD, name), None)}
    assert without.differs_from(BOARD) == {name: (None, getattr(BOARD, name))}
    assert without.differs_from(without) == {}


def test_a_board_whose_gpu_timing_is_unknown_can_still_be_compared():
    assert BOARD.differs_from(replace(BOARD, gpu_timing={"spin_wait": "on"})) == {}


def test_of_clock_limits_only_common_keys_are_compared():
    mine = replace(BOARD, clock_limits_mhz={"gpu_max": 918.0, "emc_max": 3199.0, "cpu0_max": 1500.0})
    theirs = replace(BOARD, clock_limits_mhz={"gpu_max": 408.0, "gpu_min": 306.0, "cpu0_max": 1500.0})
    assert mine.differs_from(theirs) == {"clock_limits_mhz": ({"gpu_max": 918.0}, {"gpu_max": 408.0})}


def test_a_mask_of_zero_is_a_value():
    assert BOARD.tpc_mask == 0
    assert "tpc_mask" in BOARD.differs_from(replace(BOARD, tpc_mask=None))


@pytest.mark.parametrize(("conditions", "is_board"), [(PC, False), (BOARD, True)])
def test_which_machines_are_boards(conditions, is_board):
    assert conditions.is_board == is_board


@pytest.mark.parametrize(
    ("conditions", "throttled"),
    [
        (BlockConditions(), ""),
        (BlockConditions(temperature_c=(80.0,)), ""),
        (BlockConditions(temperature_c=(None,), trip_c=90.0), ""),
        (BlockConditions(temperature_c=(89.9,), trip_c=90.0), ""),
        (BlockConditions(temperature_c=(90.0,), trip_c=90.0), "90.0 °C, throttled from 90.0 on"),
        (BlockConditions(cpu_mhz=(1700.0,), pinned_mhz={"cpu": 1728.0}), ""),
        (BlockConditions(cpu_mhz=(1600.0,), pinned_mhz={"gpu": 1728.0}), ""),
        (BlockConditions(cpu_mhz=(1600.0,), pinned_mhz={"cpu": 1728.0}), "cpu at 1600 MHz, pinned to 1728"),
        (BlockConditions(gpu_mhz=(306.0,), pinned_mhz={"gpu": 918.0}), "gpu at 306 MHz, pinned to 918"),
        (BlockConditions(gpu_mhz=(None,), pinned_mhz={"gpu": 918.0}), ""),
    ],
)
def test_when_a_block_counts_as_throttled(conditions, throttled):
    assert conditions.throttled(0) == throttled


def test_each_block_is_judged_by_its_own_figures():
    conditions = BlockConditions(temperature_c=(80.0, 95.0, 80.0), trip_c=90.0)
    assert [bool(conditions.throttled(block)) for block in range(3)] == [False, True, False]


def test_columns_are_the_figures_of_a_reading():
    conditions = BlockConditions(temperature_c=(50.0,), background_cores=(0.5,))
    assert conditions.columns == {
        "temperature_c": (50.0,),
        "cpu_mhz": (),
        "gpu_mhz": (),
        "background_cores": (0.5,),
    }


def test_no_watch_reads_nothing():
    assert no_watch() == BlockReading({}, "")


def test_a_stopwatch_counts_from_its_start_in_seconds():
    now = [5_000_000_000]
    elapsed_s = stopwatch(lambda: now[0])
    assert elapsed_s() == 0
    now[0] += 1_500_000_000
    assert elapsed_s() == 1.5
    assert elapsed_s() == 1.5  # it goes on
