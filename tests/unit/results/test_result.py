"""Results: figures computed from raw samples, and files that read back as they were written."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.core.conditions import BlockConditions, Conditions
from edgekd.core.errors import IntegrityError, NotComparable
from edgekd.results import result as module
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import RESULT_SCHEMA, BenchmarkResult, EngineRow, NodeTime, Run, StageTime, read_result
from tests.unit.results.handmade_result import CONDITIONS, a_candidate, a_result


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(a_result().to_json())
    assert read_result(path) == a_result()


def test_figures_are_computed_from_raw_samples() -> None:
    candidate = a_candidate()
    np.testing.assert_array_equal(candidate.latencies_ms, [2, 4, 6, 8])
    assert [blocks.tolist() for blocks in candidate.block_medians_ms] == [[3, 6], [8]]
    assert [blocks.tolist() for blocks in candidate.block_means_ms] == [[3, 6], [8]]
    assert candidate.percentile_ms(50) == 4
    assert candidate.percentile_ms(99) == 8
    assert candidate.throughput_per_s == pytest.approx(200)


def test_candidates_are_found_by_name() -> None:
    assert a_result().candidate("student/int8").precision == "int8"
    with pytest.raises(NotComparable, match=r"no candidate 'student/fp16'; it has teacher/fp32, student/int8"):
        a_result().candidate("student/fp16")


def test_conditions_that_differ_are_named_with_both_sides() -> None:
    assert CONDITIONS.differs_from(CONDITIONS) == {}
    other = dataclasses.replace(CONDITIONS, threads=4, governor="performance")
    assert CONDITIONS.differs_from(other) == {"threads": (2, 4), "governor": (None, "performance")}


def test_time_per_node_is_summed_and_never_negative(tmp_path: Path) -> None:
    assert a_candidate().nodes_ms == 1.75
    for wrong in (NodeTime("conv", "Conv", -1.0), NodeTime("conv", "Conv", 1.0, math.nan)):
        result = dataclasses.replace(a_result(), candidates=(a_candidate(nodes=(wrong,)),))
        (tmp_path / "r.json").write_text(result.to_json().replace('"mad_ms": null', '"mad_ms": NaN'))
        with pytest.raises(IntegrityError, match="a node of 'teacher/fp32'"):
            read_result(tmp_path / "r.json")
    (tmp_path / "r.json").write_text(a_result().to_json().replace('"median_ms": 1.5', '"median_ms": Infinity'))
    with pytest.raises(IntegrityError, match="a node of 'teacher/fp32'"):
        read_result(tmp_path / "r.json")


def test_infinity_is_written_as_a_huge_number_and_nan_as_null(tmp_path: Path) -> None:
    candidate = a_candidate(cost={"a": math.inf, "b": -math.inf, "c": 1.5})
    result = dataclasses.replace(a_result(), candidates=(candidate,), engines=())
    text = result.to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    (tmp_path / "r.json").write_text(text)
    assert read_result(tmp_path / "r.json").candidates[0].cost == {"a": 1e308, "b": -1e308, "c": 1.5}
    nan = EngineRow("a/b", "null", True, "", "", {"change": math.nan})
    assert json.loads(dataclasses.replace(a_result(), engines=(nan,)).to_json())["engines"][0]["facts"] == {
        "change": None
    }


def test_a_score_that_is_nan_reads_back_as_nan(tmp_path: Path) -> None:
    nan = {"psnr_y_db": math.nan, "ssim_y": 0.5}
    candidate = a_candidate(accuracy=nan, accuracy_per_sample={"psnr_y_db": (33.0, math.nan)})
    result = dataclasses.replace(
        a_result(),
        candidates=(candidate,),
        baseline_accuracy={**nan, "psnr_y_db": math.nan},
        baseline_per_sample={"psnr_y_db": (math.nan, 31.0)},
    )
    path = tmp_path / "result.json"
    path.write_text(result.to_json())
    assert path.read_text().startswith(f'{{\n "schema": {RESULT_SCHEMA},\n "title"')
    read = read_result(path)
    scores = read.candidates[0]
    for found in (scores.accuracy, read.baseline_accuracy):
        np.testing.assert_equal(found, {"psnr_y_db": math.nan, "ssim_y": 0.5})
    np.testing.assert_equal(scores.accuracy_per_sample["psnr_y_db"], (33.0, math.nan))
    np.testing.assert_equal(read.baseline_per_sample["psnr_y_db"], (math.nan, 31.0))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("schema", 99, "has schema 99"),
        ("schema", True, "has schema True"),
        ("schema", 0, "has schema 0"),
        ("schema", "5", "has schema '5'"),
        ("title", 5, r"result.title = 5 \(int\)"),
        ("stage_seconds", [{"name": "export"}], r"stage_seconds\[0\].seconds is missing"),
        ("candidates", [], "holds no candidate"),
        ("candidates", 1, "not an edgekd result"),
        ("candidates", [5], "not an edgekd result"),
        ("conditions", {"surplus": 1}, "surplus"),
        ("engines", [[]], "not an edgekd result"),
        ("baseline_accuracy", {"psnr": "much"}, "much"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: object, says: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**json.loads(a_result().to_json()), key: value}))
    with pytest.raises(IntegrityError, match=says):
        read_result(path)


@pytest.mark.parametrize("blocks", [[], [[]], [[1], []], [[0]], [[-1]], [[1.5]], [[True]], [["1"]], [1]])
def test_samples_that_are_no_latencies(tmp_path: Path, blocks: object) -> None:
    data = json.loads(a_result().to_json())
    data["candidates"][0]["runs"] = [{"blocks_ns": blocks, "warmup_iterations": 0}]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match="not an edgekd result"):
        read_result(path)


def test_a_candidate_without_runs(tmp_path: Path) -> None:
    data = json.loads(a_result().to_json())
    data["candidates"][1]["runs"] = []
    (tmp_path / "r.json").write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match="'student/int8' has no samples"):
        read_result(tmp_path / "r.json")


def test_a_file_without_a_schema_number(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for text in ('{"title": "x"}', "[]", "3"):
        path.write_text(text)
        with pytest.raises(IntegrityError, match="it has no schema number"):
            read_result(path)


def test_a_reference_workload_without_samples(tmp_path: Path) -> None:
    data = json.loads(a_result().to_json())
    data["reference_workload"] = [{"blocks_ns": [[]], "warmup_iterations": 0}]
    (tmp_path / "r.json").write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match="the reference workload has no samples"):
        read_result(tmp_path / "r.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="cannot read"):
        read_result(tmp_path / "absent.json")


def test_the_reference_is_named_only_if_it_replaced_ground_truth() -> None:
    assert a_result().reference == ""
    assert dataclasses.replace(a_result(), primary_metric="agreement_top1").reference == "teacher/fp32"


BOARD = dataclasses.replace(
    CONDITIONS,
    target="NVIDIA Jetson Orin NX",
    l4t="36.4.3",
    power_mode="15W",
    tpc_mask=252,
    clock_limits_mhz={"gpu_max": 612.0, "emc_max": 3199.0},
    gpu_timing={"cuda_graph": "off", "transfers": "included"},
)


@pytest.mark.parametrize(
    ("mine", "changes", "differs"),
    [
        # Both have it, and differ.
        (BOARD, {"power_mode": "MAXN"}, {"power_mode": ("15W", "MAXN")}),
        (BOARD, {"tpc_mask": 240}, {"tpc_mask": (252, 240)}),
        (BOARD, {"clock_limits_mhz": {"gpu_max": 408.0, "emc_max": 3199.0}},
         {"clock_limits_mhz": ({"gpu_max": 612.0}, {"gpu_max": 408.0})}),
        (BOARD, {"gpu_timing": {"cuda_graph": "on", "transfers": "included"}},
         {"gpu_timing": ({"cuda_graph": "off"}, {"cuda_graph": "on"})}),
        # A board always has it: without it, half of the SMs may be off.
        (BOARD, {"power_mode": None}, {"power_mode": ("15W", None)}),
        (BOARD, {"tpc_mask": None, "l4t": None}, {"tpc_mask": (252, None), "l4t": ("36.4.3", None)}),
        (BOARD, {"clock_limits_mhz": {}},
         {"clock_limits_mhz": ({"gpu_max": 612.0, "emc_max": 3199.0}, None)}),
        # The memory's limit is only visible to root; GPU timing is missing before schema 4.
        (BOARD, {"clock_limits_mhz": {"gpu_max": 612.0}}, {}),
        (BOARD, {"gpu_timing": {}}, {}),
        # A container may hide a workstation's limits.
        (dataclasses.replace(CONDITIONS, clock_limits_mhz={"cpu0_max": 3000.0}), {"clock_limits_mhz": {}}, {}),
        (dataclasses.replace(CONDITIONS, clock_limits_mhz={"cpu0_max": 3000.0}),
         {"clock_limits_mhz": {"cpu0_max": 2000.0}},
         {"clock_limits_mhz": ({"cpu0_max": 3000.0}, {"cpu0_max": 2000.0})}),
        # Neither has it.
        (dataclasses.replace(BOARD, power_mode=None, tpc_mask=None), {}, {}),
    ],
)  # fmt: skip
def test_conditions_with_absent_fields(mine: Conditions, changes: dict[str, Any], differs: dict[str, Any]) -> None:
    theirs = dataclasses.replace(mine, **changes)
    assert mine.differs_from(theirs) == differs
    assert theirs.differs_from(mine) == {name: pair[::-1] for name, pair in differs.items()}


def test_a_board_and_a_workstation_differ_in_all_that_only_the_board_has() -> None:
    pair = {"target": ("workstation", BOARD.target), "l4t": (None, "36.4.3"), "power_mode": (None, "15W"),
            "tpc_mask": (None, 252), "clock_limits_mhz": (None, BOARD.clock_limits_mhz)}  # fmt: skip
    assert CONDITIONS.differs_from(BOARD) == pair
    assert BOARD.differs_from(CONDITIONS) == {name: sides[::-1] for name, sides in pair.items()}


BLOCK_CONDITIONS = BlockConditions((45.5, None, 47.0), (1728.0,) * 3, (), (0.1, 1.4, 0.0), 99.0, {"cpu": 1728.0})
WINDOW = EnergyWindow(100, 1.0, 0.5, {"VDD_IN": 7.5}, {"VDD_IN": 4.5}, 140, 0.02, 0.01)


def test_block_conditions_refusals_and_energy_read_back(tmp_path: Path) -> None:
    runs = (Run(((10,), (999,), (30,)), 3, True, BLOCK_CONDITIONS, ("", "background load 1.4 cores above 1.0", "")),)
    energy = Energy("ina3221", "VDD_IN, the module", ("VDD_IN",), (WINDOW,))
    result = dataclasses.replace(a_result(), conditions=BOARD, candidates=(a_candidate(runs=runs, energy=energy),))
    path = tmp_path / "result.json"
    path.write_text(result.to_json())
    assert read_result(path) == result
    candidate = read_result(path).candidates[0]
    np.testing.assert_array_equal(candidate.latencies_ms, [1e-5, 3e-5])
    assert [medians.tolist() for medians in candidate.block_medians_ms] == [[1e-5, 3e-5]]


def test_no_figure_uses_a_process_whose_rounds_were_all_refused() -> None:
    runs = (Run(((10,),), 0, refused=("loud",)), Run(((20,),), 0))
    candidate = a_candidate(runs=runs)
    assert len(candidate.block_means_ms) == len(candidate.block_medians_ms) == 1
    assert candidate.percentile_ms(50) == 2e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"refused": ["", ""]},
        {"refused": ["loud"]},
        {"block_conditions": {"cpu_mhz": [1.0, 2.0]}},
    ],
)
def test_conditions_of_blocks_that_do_not_exist(tmp_path: Path, changes: dict[str, object]) -> None:
    data = json.loads(a_result().to_json())
    data["candidates"][0]["runs"] = [{"blocks_ns": [[1]], "warmup_iterations": 0, **changes}]
    (tmp_path / "r.json").write_text(json.dumps(data))
    with pytest.raises(IntegrityError, match="not one entry per block"):
        read_result(tmp_path / "r.json")


def test_stage_times_read_back(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(a_result().to_json())
    assert read_result(path).stage_seconds == (StageTime("export teacher", 1.5), StageTime("bench", 60.25))


def test_a_candidate_s_key_is_its_name() -> None:
    assert [candidate.key for candidate in a_result().candidates] == ["teacher/fp32", "student/int8"]


def test_notebooks_show_a_result_as_html(monkeypatch: pytest.MonkeyPatch) -> None:
    class Notebook:
        @staticmethod
        def result_html(result: BenchmarkResult) -> str:
            return f"<b>{result.title}</b>"

    monkeypatch.setattr(module, "load_module", lambda name: {"edgekd.report.notebook": Notebook}[name])
    assert a_result()._repr_html_() == "<b>edsr_from_edsr</b>"
