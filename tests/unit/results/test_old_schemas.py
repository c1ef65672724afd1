"""Result files of old schemas: golden files of each, and what the reader renames."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd.core.conditions import BlockConditions
from edgekd.core.errors import IntegrityError
from edgekd.results.old_schemas import upgrade
from edgekd.results.result import RESULT_SCHEMA, BenchmarkResult, Run, read_result
from tests.unit.core import mutate
from tests.unit.results.handmade_result import a_result

GOLDEN = Path(__file__).parents[2] / "golden"
# Schema → p50 in ms of teacher and student, as computed by the version that wrote the file.
WRITTEN = {
    1: (115.553908, 21.096707),
    2: (128.852506, 23.11015),
    3: (123.436324, 23.865334),
    4: (108.354438, 19.468662),
    5: (108.354438, 19.468662),
}


def golden(schema: int) -> Path:
    return GOLDEN / f"result_schema_{schema}.json"


def test_every_schema_has_a_golden_file() -> None:
    assert sorted(WRITTEN) == list(range(1, RESULT_SCHEMA + 1))
    assert len(list(GOLDEN.glob("result_schema_*.json"))) == RESULT_SCHEMA
    for schema in WRITTEN:
        assert json.loads(golden(schema).read_text())["schema"] == schema


@pytest.mark.parametrize("schema", WRITTEN)
def test_a_golden_file_reads_as_it_was_written(schema: int) -> None:
    result = read_result(golden(schema))
    assert [candidate.percentile_ms(50) for candidate in result.candidates] == list(WRITTEN[schema])
    assert [candidate.name for candidate in result.candidates] == ["teacher/fp32", "student/fp32"]
    assert result.primary_metric == "psnr_y_db"


@pytest.mark.parametrize("schema", WRITTEN)
def test_a_golden_file_saved_and_read_again_is_the_same(schema: int, tmp_path: Path) -> None:
    result = read_result(golden(schema))
    (tmp_path / "again.json").write_text(result.to_json())
    assert read_result(tmp_path / "again.json") == result
    assert read_result(tmp_path / "again.json").to_json() == result.to_json()


def test_the_golden_file_of_the_current_schema_is_what_is_written_today() -> None:
    assert read_result(golden(RESULT_SCHEMA)).to_json() == golden(RESULT_SCHEMA).read_text()


def test_schemas_4_and_5_hold_the_same_result() -> None:
    assert read_result(golden(4)) == read_result(golden(5))
    assert read_result(golden(4)).energy_unavailable
    assert read_result(golden(4)).candidates[0].runs[0].block_conditions.background_cores == (0.0, 0.08)


@pytest.mark.parametrize("folder", ["benchmarks/baselines", "benchmarks/gate"])
def test_committed_results_have_the_current_schema(root: Path, folder: str) -> None:
    files = list((root / folder).rglob("*.json"))
    assert files
    for path in files:
        assert json.loads(path.read_text())["schema"] == RESULT_SCHEMA
        assert read_result(path).candidates


def full() -> BenchmarkResult:
    """Make a result with a value in every renamed field."""
    conditions = BlockConditions(background_cores=(0.5,))
    runs = (Run(((1_000_000,),), 2, block_conditions=conditions),)
    result = a_result()
    candidates = tuple(replace(candidate, runs=runs) for candidate in result.candidates)
    return replace(
        result,
        candidates=candidates,
        reference_workload=runs,
        reference_workload_sha256="a" * 64,
        energy_unavailable="no sensor",
        stage_seconds=(),
    )


def downgraded(result: BenchmarkResult, schema: int) -> dict[str, Any]:
    """Return a result's plain data as an old schema, 1 to 4, named it."""
    data = json.loads(result.to_json())
    for new, old in (
        ("reference_workload", "yardstick"),
        ("reference_workload_sha256", "yardstick_sha256"),
        ("energy_unavailable", "no_energy"),
    ):
        data[old] = data.pop(new)
    del data["stage_seconds"]
    for engine in data["engines"]:
        engine["notice"] = engine.pop("caveat")
    for run in [*data["yardstick"], *(run for candidate in data["candidates"] for run in candidate["runs"])]:
        watched = run["watched"] = run.pop("block_conditions")
        watched["foreign_cores"] = watched.pop("background_cores")
    if schema < 4:
        for name in ("l4t", "power_mode", "tpc_mask", "clock_limits_mhz", "gpu_timing"):
            del data["conditions"][name]
        for name in ("yardstick", "yardstick_sha256", "no_energy"):
            del data[name]
        for candidate in data["candidates"]:
            for name in ("energy", "nodes", "end_to_end_ns", "samples_per_query"):
                del candidate[name]
            for run in candidate["runs"]:
                del run["refused"], run["watched"]
    if schema < 3:
        for candidate in data["candidates"]:
            for run in candidate["runs"]:
                del run["is_steady"]
    if schema < 2:
        del data["set_metrics"]
    return {**data, "schema": schema}


def test_every_renamed_field_of_schema_4_is_read(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(downgraded(full(), 4)))
    assert read_result(path) == full()


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_older_files_lack_fields_that_have_defaults(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(downgraded(full(), schema)))
    runs = (replace(full().reference_workload[0], block_conditions=BlockConditions()),)
    candidates = tuple(replace(candidate, runs=runs, nodes=()) for candidate in full().candidates)
    lacking = {"reference_workload": (), "reference_workload_sha256": "", "energy_unavailable": ""}
    assert read_result(path) == replace(full(), candidates=candidates, **lacking)


def test_old_names_are_unknown_in_the_current_schema(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**downgraded(full(), 4), "schema": RESULT_SCHEMA}))
    with pytest.raises(IntegrityError, match="unknown key"):
        read_result(path)


def test_the_data_given_is_not_changed() -> None:
    data = downgraded(full(), 4)
    before = copy.deepcopy(data)
    upgrade(data, 4)
    assert data == before


@pytest.mark.parametrize("schema", [1, 4])
def test_damaged_old_files_are_refused_or_sound(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "result.json"
    refused = 0
    for text in mutate.values(downgraded(full(), schema), 300, seed=schema):
        path.write_text(text)
        try:
            assert read_result(path).candidates[0].percentile_ms(50) > 0
        except IntegrityError:
            refused += 1
    assert 0 < refused < 300
