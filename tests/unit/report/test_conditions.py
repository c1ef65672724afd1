"""What was seen while it was measured, in words, in every format that shows figures."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgekd.core.conditions import Watched
from edgekd.report.conditions import lines
from edgekd.report.formats import html, markdown, terminal
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import Run
from tests.unit.report.example_result import CONDITIONS, example

SENSOR = "VDD_IN, the module's rails: carrier-board loss is not seen"
RULE = "foreign load 1.4 cores above 1.0"


def seen():
    """Make a board's result: warm, a round refused, its energy known."""
    window = EnergyWindow(100, 1.0, 0.5, {"VDD_IN": 7.0}, {"VDD_IN": 4.0}, 140, 0.0, 0.0)
    windows = (window, replace(window, joules={"VDD_IN": 7.2}))
    candidates = []
    for candidate in example().candidates:
        (run,) = candidate.runs
        blocks = len(run.blocks_ns)
        watched = Watched(
            tuple(45.0 + i / 10 for i in range(blocks)), (1728.0,) * blocks, (), (0.1,) * (blocks - 1) + (1.44,)
        )
        watched_run = replace(run, watched=watched, refused=("",) * (blocks - 1) + (RULE,))
        lost = Run(run.blocks_ns[:2], 3, refused=(RULE, RULE))
        runs = (watched_run, lost)
        candidates.append(replace(candidate, runs=runs, energy=Energy("ina3221", SENSOR, ("VDD_IN",), windows)))
    board = replace(CONDITIONS, target="NVIDIA Jetson Orin NX", l4t="36.4.3", power_mode="15W")
    return example(candidates=tuple(candidates), conditions=board)


def test_what_is_said_and_in_which_order():
    said = lines(seen())
    assert said[0] == f"3 of 14 rounds refused: {RULE}; 1 of 2 processes kept none"
    assert said[1] == (
        "around the blocks: 45.0–46.1 °C, CPU 1728 MHz, foreign load 0.1 of 2 cores in the median, 1.4 at most"
    )
    assert said[2] == (
        "teacher/fp32: 71.0 ± 1.00 mJ an inference, 31.0 ± 1.00 above idle; 7.1 W running, 4.0 W idle, 2 windows"
    )
    assert said[-1] == f"energy by ina3221 at 140 readings/s: {SENSOR}"
    assert len(said) == 3 + len(example().candidates)


def test_a_machine_that_told_nothing_says_nothing():
    assert lines(example()) == ()
    assert lines(example(no_energy="no sensor")) == ("energy not measured: no sensor",)
    assert " mJ" not in terminal.render(example())


@pytest.mark.parametrize(
    "text",
    [terminal.render(seen(), width=400), markdown.render(seen()), html.render(seen())],
    ids=["text", "md", "html"],
)
def test_every_format_says_it(text):
    plain = text.replace("\\", "").replace("&#x27;", "'")
    for said in (*lines(seen()), "NVIDIA Jetson Orin NX, L4T 36.4.3, mode 15W"):
        assert said in plain
    assert "71.0" in plain


def test_the_page_draws_no_refused_block():
    """The raw data is whole; the script leaves out what was refused, as the figures do."""
    page = html.render(seen())
    result = json.loads(page.split('id="result">')[1].split("</script>")[0])
    run = result["candidates"][0]["runs"][0]
    assert len(run["blocks_ns"]) == len(run["refused"]) == 12
    assert "!run.refused?.[block]" in page
