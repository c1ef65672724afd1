"""The conditions in words: the machine, and what was observed during the measurement, in every format."""

from __future__ import annotations

import html as html_escapes
import json
import re
from dataclasses import replace

import pytest

from edgekd.core.conditions import BlockConditions
from edgekd.report.conditions import conditions_line, cores, machine, observations
from edgekd.report.formats import html, markdown, terminal
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import Run
from tests.unit.report.example_result import CONDITIONS, bare, example

SENSOR = "VDD_IN, the module's rails: carrier-board loss is not included"
RULE = "background load 1.4 cores above 1.0"


def board_result():
    """Make a board's result: warm, one round rejected, energy measured."""
    window = EnergyWindow(100, 1.0, 0.5, {"VDD_IN": 7.0}, {"VDD_IN": 4.0}, 140, 0.0, 0.0)
    windows = (window, replace(window, joules={"VDD_IN": 7.2}))
    candidates = []
    for candidate in example().candidates:
        (run,) = candidate.runs
        blocks = len(run.blocks_ns)
        block_conditions = BlockConditions(
            temperature_c=tuple(45.0 + i / 10 for i in range(blocks)),
            cpu_mhz=(1728.0,) * blocks,
            background_cores=(0.1,) * (blocks - 1) + (1.44,),
        )
        watched = replace(run, block_conditions=block_conditions, refused=("",) * (blocks - 1) + (RULE,))
        rejected = Run(run.blocks_ns[:2], 3, refused=(RULE, RULE))
        energy = Energy("ina3221", SENSOR, ("VDD_IN",), windows)
        candidates.append(replace(candidate, runs=(watched, rejected), energy=energy))
    board = replace(CONDITIONS, target="NVIDIA Jetson Orin NX", l4t="36.4.3", power_mode="15W")
    return example(candidates=tuple(candidates), conditions=board)


def test_rejected_rounds_come_first():
    first, *_ = observations(board_result())
    assert first == f"3 of 14 rounds rejected: {RULE}; 1 of 2 processes kept no round"


def test_the_machines_state_is_a_range_over_all_blocks():
    state = observations(board_result())[1]
    assert "45.0–46.1 °C" in state
    assert "CPU 1728 MHz" in state
    assert "background load median 0.1, max 1.4 of 2 cores" in state
    assert "GPU" not in state  # this machine reports no GPU clock


def test_the_gpus_clock_is_named_where_it_is_known():
    only = bare().candidates[0]
    (run,) = only.runs
    clocks = BlockConditions(gpu_mhz=(900.0, None, *(918.0,) * (len(run.blocks_ns) - 2)))
    result = example(candidates=(replace(only, runs=(replace(run, block_conditions=clocks),)),))
    assert observations(result) == ("during measurement: GPU 900 MHz",)  # two blocks, one of them unknown


def test_energy_has_its_standard_error():
    energies = observations(board_result())[2:-1]
    assert len(energies) == len(example().candidates)
    assert energies[0].startswith("teacher/fp32: 71.0 ± 1.00 mJ per inference, 31.0 ± 1.00 above idle")
    assert "7.1 W running, 4.0 W idle, 2 windows" in energies[0]


def test_energy_of_one_window_has_the_sensors_error_alone():
    window = EnergyWindow(100, 1.0, 0.5, {"VDD_IN": 7.0}, {"VDD_IN": 4.0}, 140, 0.2, 0.0)
    only = replace(bare().candidates[0], energy=Energy("ina3221", SENSOR, ("VDD_IN",), (window,)))
    assert "70.0 ± 2.00 mJ" in observations(example(candidates=(only,)))[0]


def test_a_sensor_is_named_once():
    assert [line for line in observations(board_result()) if SENSOR in line] == [
        f"energy measured by ina3221, 140 readings/s: {SENSOR}"
    ]


def test_nothing_is_shown_of_a_machine_that_reports_nothing():
    assert observations(example()) == ()
    assert observations(example(energy_unavailable="no sensor")) == ("energy not measured: no sensor",)
    assert " mJ" not in terminal.render(example())


def test_the_line_names_machine_backend_and_workload():
    line = conditions_line(example())
    for part in ("workstation", "Some CPU", "2 of 2 cores", "onnxruntime 1.31.1", "batch 1, single_stream"):
        assert part in line
    assert "governor" not in line
    assert "timed by" not in line


def test_the_line_names_what_is_unusual():
    conditions = replace(CONDITIONS, governor="performance", streams=4, clock="trtexec latencyMs")
    only = replace(bare().candidates[0], samples_per_query=8)
    line = conditions_line(example(conditions=conditions, candidates=(only,)))
    for part in ("CPU governor performance", "8 samples per query", "in 4 streams", "timed by trtexec latencyMs"):
        assert part in line


def test_what_is_unknown_is_called_unavailable():
    assert "unavailable" in cores(replace(CONDITIONS, cores=None))
    assert machine(CONDITIONS) == "workstation"


FORMATS = {
    "terminal": lambda result: terminal.render(result, width=400),
    "markdown": lambda result: markdown.render(result).replace("\\", ""),
    "html": lambda result: html_escapes.unescape(html.render(result)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_the_observations(name):
    text = FORMATS[name](board_result())
    for line in (*observations(board_result()), "NVIDIA Jetson Orin NX, L4T 36.4.3, mode 15W"):
        assert line in text
    assert "71.0" in text


def test_the_page_draws_no_rejected_block():
    """The raw data is complete; the script leaves out rejected blocks, as the figures do."""
    page = html.render(board_result())
    (embedded,) = re.findall(r'id="result">(.*?)</script>', page, re.DOTALL)
    run = json.loads(embedded)["candidates"][0]["runs"][0]
    assert len(run["blocks_ns"]) == len(run["refused"]) == 12
    assert "!run.refused?.[block]" in page
