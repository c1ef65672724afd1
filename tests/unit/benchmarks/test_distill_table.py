"""The plans of benchmarks/distill: every row of every pair is a recipe that the loop takes; the figures of a table."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tomllib

from edgekd.core import family
from edgekd.core.recipe import pair_names
from edgekd.core.schema import parse
from edgekd.pipeline.job import check_names

FOLDER = Path(__file__).parents[3] / "benchmarks" / "distill"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("distill_table", FOLDER / "table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _bench(table: ModuleType, pair: str, paper: bool, tmp_path: Path) -> Any:
    plan = parse(table.Plan, tomllib.loads((FOLDER / f"{pair}.toml").read_text()), pair)
    return table.Bench(pair, plan, tmp_path, tmp_path, tmp_path / "results.json", paper)


def test_every_pair_has_a_plan() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == pair_names()


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("pair", pair_names())
def test_every_row_is_a_recipe(table: ModuleType, pair: str, paper: bool, tmp_path: Path) -> None:
    bench = _bench(table, pair, paper, tmp_path)
    assert {"none", "logits"} <= {row.name.partition(" ")[0] for row in bench.plan.rows}
    for row in bench.plan.rows:
        recipe = bench.recipe(row, seed=1)
        check_names(recipe)
        student = recipe.distill.student
        assert student.seed == 1
        parse(family.load("distill.methods", student.method).Config, student.options, row.name)
        parse(family.load("datasets.layouts", recipe.data.layout).Config, dict(recipe.data.options), row.name)


def test_mean_interval_and_gain_paired_by_seed(table: ModuleType, tmp_path: Path) -> None:
    rows = (table.Row("none"), table.Row("logits"), table.Row("method"), table.Row("once"))
    plan = table.Plan(training=(), sets={"set": "x"}, show={"psnr": ".2f"}, rows=rows)
    known = {"teacher": {"name": "teacher", "sets": {"set": {"psnr": 40.0}}}}
    for name, values in (
        ("none", (30.0, 31.0, 32.0)),
        ("logits", (30.5, 31.5)),
        ("method", (30.5, 31.5, 32.5)),
        ("once", (33.0,)),
    ):
        for seed, value in enumerate(values):
            known[f"{name} seed {seed}"] = {"name": name, "seed": seed, "sets": {"set": {"psnr": value}}}
    lines = table.table(plan, known).splitlines()
    assert "| none | 3 | 31.00 ± 2.48 |" in lines  # 4.303 * 1 / sqrt(3)
    assert "| method − none, paired by seed | 3 | +0.50 ± 0.00 |" in lines
    assert "| method − logits, paired by seed | 2 | +0.00 ± 0.00 |" in lines
    assert not any(line.startswith("| once −") for line in lines), "one seed has no interval"


def test_readme_has_one_line_a_pair_of_whose_controls_all_is_known(table: ModuleType, tmp_path: Path) -> None:
    bench = _bench(table, "edsr_from_edsr", False, tmp_path)
    figures = {"teacher": 32.0, "none": 31.0, "logits": 31.5, "mipkd without block mixer": 99.0}
    configs = {row.name: bench.digest(bench.recipe(row, 0)) for row in bench.plan.rows}
    for name, value in figures.items():
        run = {"name": name, "seed": 0, "config": configs.get(name), "sets": {"BSDS": {"psnr_y_db": value}}}
        bench.keep(f"{name} seed 0", run)
    assert len(table.essence([bench]).splitlines()) == 2, "the method itself has no figure yet"
    bench.keep("without bicubic", {"name": "bicubic", "sets": {"BSDS": {"psnr_y_db": 29.0}}})
    mine = {"name": "mipkd", "seed": 0, "sets": {"BSDS": {"psnr_y_db": 31.75}}}
    bench.keep("mipkd seed 0", {**mine, "config": "of another day"})
    assert len(table.essence([bench]).splitlines()) == 2, "trained otherwise than the recipe says today"
    bench.keep("mipkd seed 0", {**mine, "config": configs["mipkd"]})
    line = table.essence([bench]).splitlines()[-1]
    assert line.endswith("| BSDS, psnr_y_db | 1 | 29.00 | 32.00 | 31.00 | 31.50 | 31.75 (mipkd) |")


def test_a_result_is_added_to_those_that_are_there(table: ModuleType, tmp_path: Path) -> None:
    bench = _bench(table, "edsr_from_edsr", False, tmp_path)
    bench.keep("a", {"name": "a"})
    bench.keep("b", {"name": "b"})
    assert json.loads(bench.results.read_text()) == {"a": {"name": "a"}, "b": {"name": "b"}}
