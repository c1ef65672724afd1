"""The tables: their columns, and what they show for unknown values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd.report.tables import (
    SPEEDUP_HEAD,
    candidate_table,
    caveats,
    comparison_tables,
    end_to_end_table,
    engine_table,
    int8_convolutions,
    interval_text,
    notes,
    spread_table,
    stage_time_table,
)
from edgekd.results.compare import Interval, compare
from edgekd.results.energy import Energy, EnergyWindow
from edgekd.results.result import EngineRow
from tests.unit.report.example_result import CAVEAT, bare, example, timed_end_to_end, timed_stages


def column(table, head):
    """Return the cells below a head."""
    return [row[table.heads.index(head)] for row in table.rows]


def with_energy(*millijoules):
    """Make a result whose candidates took these energies; None for unknown."""
    candidates = []
    for candidate, mj in zip(example().candidates, millijoules, strict=False):
        window = EnergyWindow(1000, 1.0, 0.5, {"cpu": mj or 0.0}, {"cpu": 0.0}, 140, 0.0, 0.0)
        energy = Energy("rapl", "the package", ("cpu",), (window,) * 7) if mj else None
        candidates.append(replace(candidate, energy=energy))
    return example(candidates=tuple(candidates))


@pytest.mark.parametrize("result", [example(), bare(), timed_end_to_end(), with_energy(70.0, None)])
def test_every_row_has_a_cell_a_column(result):
    tables = [candidate_table(result), spread_table(result), engine_table(result.engines)]
    tables += comparison_tables(compare([result]))
    for table in tables:
        assert all(len(row) == len(table.heads) for row in table.rows)


def test_the_main_table_holds_cost_speed_and_accuracy():
    table = candidate_table(example())
    assert column(table, "candidate") == [candidate.name for candidate in example().candidates]
    assert column(table, "params")[0] == "1.37 M"
    assert column(table, "PSNR Y dB") == ["37.90", "37.10", "37.20", "37.20", "36.90"]
    assert column(table, SPEEDUP_HEAD)[0] == "1"
    assert "mJ" not in table.heads


def test_a_table_has_room_for_two_metrics():
    accuracy = {"ssim": 0.9, "psnr_y_db": 30.0, "lpips": 0.1}
    candidates = tuple(replace(c, accuracy=accuracy) for c in example().candidates)
    assert candidate_table(example(candidates=candidates)).heads[-2:] == ("PSNR Y dB", "SSIM")


def test_what_is_unknown_is_a_dash():
    table = candidate_table(bare())
    for head in ("params", "MACs", "peak MiB"):
        assert column(table, head) == ["–"]
    assert not any("PSNR" in head for head in table.heads)


def test_energy_has_a_column_where_anyone_has_it():
    assert column(candidate_table(with_energy(70.0, None)), "mJ") == ["70.0", "–"]


def test_end_to_end_stages_that_nobody_timed_have_no_column():
    table = end_to_end_table(timed_end_to_end(2.0))
    assert table.heads == (
        "candidate", "preprocess ms", "inference ms", "postprocess ms", "end to end ms", SPEEDUP_HEAD,
    )  # fmt: skip
    assert table.rows[1][1:5] == ("2.00", "12.0", "2.00", "16.0")
    assert end_to_end_table(example()) is None


def test_the_runs_time_is_summed():
    table = stage_time_table(timed_stages())
    assert table.rows == (
        ("distill", "90.0", "60 %"), ("export", "7.5", "5 %"), ("bench", "52.5", "35 %"), ("total", "150.0", ""),
    )  # fmt: skip
    assert stage_time_table(example()) is None


def test_scatter_of_one_sample_has_no_variation():
    only = bare().candidates[0]
    single = replace(only, runs=(replace(only.runs[0], blocks_ns=((8_000_000,),)),))
    table = spread_table(example(candidates=(single,)))
    assert column(table, "CV %") == ["–"]
    assert column(table, "samples") == ["1"]


@pytest.mark.parametrize(
    ("facts", "ok", "text"),
    [
        ({"int8_convolutions": 33, "engine_convolutions": 37, "convolutions": 40}, True, "33 of 37"),
        ({"int8_convolutions": 33, "convolutions": 40}, True, "33 of 40"),
        ({"int8_convolutions": 33}, True, "33"),
        ({"int8_convolutions": 0, "engine_convolutions": 37}, True, "0 of 37"),
        ({"int8_convolutions": 33}, False, "–"),
        ({}, True, "–"),
    ],
)
def test_int8_convolutions_are_counted_in_the_engine(facts, ok, text):
    assert int8_convolutions(EngineRow("net/int8", "tensorrt", ok, "", "", facts)) == text


def test_a_refused_engine_is_called_refused():
    assert column(engine_table(example().engines), "built") == ["yes", "yes", "yes", "refused", "yes"]


def test_a_caveat_stands_once():
    assert caveats(example().engines) == (f"tensorrt_rtx: {CAVEAT}",)
    assert caveats([replace(row, caveat="") for row in example().engines]) == ()


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (None, "1"),
        (Interval(5.123, 4.9, 5.31, 12), "5.12x (4.90–5.31)"),
        (Interval(1.01, 0.99, 1.03, 12), "~ 1.01x (0.990–1.03)"),
        (Interval(5.0, 4.9, 5.1, 2), "~ 5.00x (4.90–5.10)"),
    ],
)
def test_a_ratio_that_is_not_clear_is_marked(interval, text):
    assert interval_text(interval) == text


def test_a_comparison_has_speed_and_then_size():
    speed, size = comparison_tables(compare([example()]))
    assert speed.heads == ("candidate", "relative to", SPEEDUP_HEAD, "throughput (95 % CI)")
    assert set(column(speed, "relative to")) == {"teacher/fp32"}
    assert column(size, "params")[1] == "0.145x"
    assert column(size, "PSNR Y dB") == ["-0.80", "-0.70", "-0.70", "-1.00"]


def test_a_difference_has_its_interval_where_there_are_enough_images():
    scores = {
        "teacher": (37.0, 38.0, 36.0, 39.0, 37.5, 38.5, 37.2),
        "student": (36.8, 37.9, 35.9, 38.7, 37.3, 38.2, 37.0),
    }
    candidates = []
    for candidate in (example().candidates[0], example().candidates[2]):
        values = scores[candidate.role]
        mean = {"psnr_y_db": sum(values) / len(values)}
        candidates.append(replace(candidate, accuracy=mean, accuracy_per_sample={"psnr_y_db": values}))
    _, size = comparison_tables(compare([example(candidates=tuple(candidates))]))
    (cell,) = column(size, "PSNR Y dB")
    assert cell.startswith("-0.20 (-0.2")
    assert " to -0.1" in cell


def test_rows_of_several_results_name_their_result():
    speed, _ = comparison_tables(compare([example(), example(title="after")]))
    assert ("student/int8 of after", "student/int8 of edsr_from_edsr") in {row[:2] for row in speed.rows}


def test_energy_is_compared_where_both_have_it():
    speed, _ = comparison_tables(compare([with_energy(70.0, 35.0, None)]))
    cells = column(speed, "energy (95 % CI)")
    assert cells[0].startswith("0.500x")
    assert cells[1] == "–"


def test_notes_of_candidates_have_their_name():
    noted = replace(bare().candidates[0], notes=("no sensor",))
    assert notes(example(candidates=(noted,))) == ["a busy machine", "model/fp32: no sensor"]
