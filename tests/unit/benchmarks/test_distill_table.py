"""The table of distillation: plans, stored results and their digests, and the figures of its rows."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.distill import table
from benchmarks.distill.table import PairTable, Plan, Row
from edgekd.core import family
from edgekd.core.artifact import sha256_of
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError
from edgekd.core.recipe import pair_names
from edgekd.core.schema import parse
from edgekd.datasets.item import Item
from edgekd.distill import train
from edgekd.pipeline.job import check_names

FOLDER = Path(table.__file__).parent
EDSR = "edsr_from_edsr"


@pytest.fixture
def table_of(tmp_path: Path) -> Callable[..., PairTable]:
    """Return a function that reads a pair's plan and stores results in a folder of the test's own."""

    def make(pair: str, *, paper: bool = False) -> PairTable:
        plan = table.table_of(pair, tmp_path, tmp_path, paper=paper).plan
        return PairTable(pair, plan, tmp_path, tmp_path, tmp_path / "results.json", paper)

    return make


def test_every_pair_has_a_plan() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == pair_names()


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("pair", pair_names())
def test_every_row_is_a_recipe(table_of: Callable[..., PairTable], pair: str, paper: bool) -> None:
    pair_table = table_of(pair, paper=paper)
    assert {"none", "logits"} <= {row.name.partition(" ")[0] for row in pair_table.plan.rows}
    for row in pair_table.plan.rows:
        recipe = pair_table.recipe(row, seed=1)
        check_names(recipe)
        student = recipe.distill.student
        assert student.seed == 1
        parse(family.load("distill.methods", student.method).Config, student.options, row.name)
        parse(family.load("datasets.layouts", recipe.data.layout).Config, dict(recipe.data.options), row.name)


@pytest.mark.parametrize("pair", pair_names())
def test_stored_results_are_of_todays_recipes(pair: str, tmp_path: Path) -> None:
    # A renamed key or a changed default would drop every row in silence; only a changed training may do that.
    pair_table = table.table_of(pair, tmp_path, tmp_path, paper=False)
    assert pair_table.current().keys() == pair_table.stored().keys()


def test_digest_follows_what_changes_the_scores(table_of: Callable[..., PairTable]) -> None:
    pair_table = table_of(EDSR)

    def digest(*overrides: str, seed: int = 0) -> str:
        return pair_table.digest(pair_table.recipe(Row("row", set=overrides), seed))

    assert digest("distill.student.workers=3", "distill.student.checkpoint_every=7") == digest()
    changed = [
        digest("distill.student.learning_rate=1e-3"),
        digest("distill.student.options.width=8"),
        digest("network.student.channels=16"),
        digest("data.options.patch=16"),
        digest("task.scale=3"),
        digest(seed=1),
    ]
    assert len({digest(), *changed}) == 7


def test_digest_follows_the_teacher_where_the_method_has_one(
    table_of: Callable[..., PairTable], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair_table = table_of(EDSR)
    weights = tmp_path / "teacher.safetensors"
    monkeypatch.setattr(PairTable, "teacher", lambda self, recipe: weights)
    recipes = [pair_table.recipe(row, 0) for row in pair_table.plan.rows if row.name in ("none", "logits")]
    found = []
    for content in (b"one", b"other"):
        weights.write_bytes(content)
        found.append([pair_table.digest(recipe) for recipe in recipes])
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]
    # Where the file is not at hand, the digest that was stored with the teacher's scores stands for it.
    pair_table.store("teacher", {"name": "teacher", "weights": sha256_of(weights)})
    weights.unlink()
    assert [pair_table.digest(recipe) for recipe in recipes] == found[1]


PLAN = Plan(
    training=(),
    sets={"set": "x"},
    show={"psnr": ".2f"},
    rows=(Row("none"), Row("logits"), Row("method"), Row("once"), Row("ablation", control_of="method")),
    papers=(table.Paper("the authors'", "33.3 dB"),),
    note="A note.",
)


def _entries(**values: tuple[float, ...]) -> dict[str, Any]:
    entries: dict[str, Any] = {"teacher": {"name": "teacher", "sets": {"set": {"psnr": 40.0}}}}
    for name, scores in values.items():
        for seed, score in enumerate(scores):
            entries[f"{name} seed {seed}"] = {"name": name, "seed": seed, "sets": {"set": {"psnr": score}}}
    return entries


def test_mean_interval_and_gain_paired_by_seed() -> None:
    entries = _entries(
        none=(30.0, 31.0, 32.0), logits=(30.5, 31.5), method=(30.5, 31.5, 32.5), once=(33.0,), ablation=(30.0, 31.0)
    )
    lines = table.table(PLAN, entries).splitlines()
    assert "| none | 3 | 31.00 ± 2.48 |" in lines  # 4.303 * 1 / sqrt(3)
    assert "| method − none, paired by seed | 3 | +0.50 ± 0.00 |" in lines
    assert "| method − logits, paired by seed | 2 | +0.00 ± 0.00 |" in lines
    assert "| method − ablation, paired by seed | 2 | +0.50 ± 0.00 |" in lines
    assert not any(line.startswith("| once −") for line in lines), "one seed has no interval"
    assert not any(line.startswith("| ablation −") for line in lines), "a control of one row alone"


def test_rows_with_another_schedule_have_no_gain() -> None:
    plan = Plan(training=(), sets=PLAN.sets, show=PLAN.show, rows=(Row("none"), Row("longer", aside=True)))
    text = table.table(plan, _entries(none=(30.0, 31.0), longer=(33.0, 34.0)))
    assert "| longer | 2 | 33.50" in text
    assert "−" not in text


def test_baselines_and_teacher_come_first_and_papers_last() -> None:
    baselines = {f"baseline {name}": {"name": name, "sets": {"set": {"psnr": 25.0}}} for name in ("a", "b")}
    text = table.table(PLAN, {**baselines, **_entries(none=(30.0,))})
    first_cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:]
    assert first_cells[:4] == ["b", "a", "teacher", "none"]
    assert "the authors'" in first_cells[4]
    assert text.endswith("A note.\n")


def test_sets_that_were_not_scored_are_nan() -> None:
    plan = Plan(training=(), sets={"set": "x", "other": "y"}, show=PLAN.show, rows=(Row("none"),))
    assert "| none | 1 | 30.00 | nan |" in table.table(plan, _entries(none=(30.0,)))


def test_overview_has_a_row_once_all_controls_and_the_method_are_trained(table_of: Callable[..., PairTable]) -> None:
    pair_table = table_of(EDSR)
    configs = {row.name: pair_table.digest(pair_table.recipe(row, 0)) for row in pair_table.plan.rows}

    def store(name: str, score: float, config: str) -> None:
        entry = {"name": name, "seed": 0, "config": config, "sets": {"BSDS": {"psnr_y_db": score}}}
        pair_table.store(f"{name} seed 0", entry)

    pair_table.store("teacher", {"name": "teacher", "sets": {"BSDS": {"psnr_y_db": 32.0}}})
    pair_table.store("baseline bicubic", {"name": "bicubic", "sets": {"BSDS": {"psnr_y_db": 29.0}}})
    for name, score in (("none", 31.0), ("logits", 31.5), ("mipkd without block mixer", 99.0)):
        store(name, score, configs[name])
    assert len(table.overview([pair_table]).splitlines()) == 2, "the method has no score yet"
    store("mipkd", 31.75, "of another recipe")
    assert len(table.overview([pair_table]).splitlines()) == 2, "the method's score is outdated"
    store("mipkd", 31.75, configs["mipkd"])
    line = table.overview([pair_table]).splitlines()[-1]
    assert line.endswith("| BSDS, psnr_y_db | 1 | 29.00 | 32.00 | 31.00 | 31.50 | 31.75 (mipkd) |")


def test_outdated_results_stay_stored_and_are_not_current(table_of: Callable[..., PairTable]) -> None:
    pair_table = table_of(EDSR)
    pair_table.store("mipkd seed 0", {"name": "mipkd", "seed": 0, "config": "of another recipe"})
    pair_table.store("a row that is no longer planned seed 0", {"name": "a row", "seed": 0, "config": "any"})
    assert list(pair_table.current()) == ["a row that is no longer planned seed 0"]
    assert len(pair_table.stored()) == 2


def test_results_of_two_processes_are_all_stored(table_of: Callable[..., PairTable]) -> None:
    pair_table = table_of(EDSR)
    threads = [threading.Thread(target=pair_table.store, args=(str(i), {"name": str(i)})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(pair_table.results.read_text()) == {str(i): {"name": str(i)} for i in range(8)}


class _Task:
    """A task that adds up: the score is minus the mean difference."""

    METRICS = ("score",)
    PRIMARY = "score"

    def fit(self, image: Any, target: Any, size: Any, options: Any) -> Any:
        return image, target

    def metric(self, output: Any, target: Any, options: Any) -> dict[str, float]:
        return {"score": -float(np.abs(output - target).mean())}


class _OneBaseline(_Task):
    BASELINE = "plus one"

    def baseline(self, image: Any, options: Any) -> Any:
        return image + 1


class _TwoBaselines(_OneBaseline):
    def baselines(self, image: Any, options: Any) -> dict[str, Any]:
        return {"input": image, self.BASELINE: self.baseline(image, options)}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (_Task(), {}),
        (_OneBaseline(), {"plus one": {"set": {"score": -1.0}}}),
        (_TwoBaselines(), {"input": {"set": {"score": -2.0}}, "plus one": {"set": {"score": -1.0}}}),
    ],
)
def test_baselines_are_those_the_task_has(task: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(str(value), np.full((2, 2), value), np.full((2, 2), value + 2)) for value in (0, 5)]
    monkeypatch.setattr(table, "task_of", lambda recipe: task)
    pair_table: Any = SimpleNamespace(validation=lambda recipe: {"set": items})
    assert table.baseline_scores(pair_table, Recipe()) == expected


def test_stored_student_is_not_trained_again(
    table_of: Callable[..., PairTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair_table = table_of(EDSR)
    row = pair_table.plan.rows[0]
    digest = pair_table.digest(pair_table.recipe(row, 0))
    pair_table.store(f"{row.name} seed 0", {"name": row.name, "seed": 0, "config": digest})
    started: list[Any] = []

    def refuse(job: Any, recipe: Recipe) -> Path:
        started.append(job)
        raise InputError("another edgekd run is writing here")

    monkeypatch.setattr(train, "run", refuse)
    table.train_student(pair_table, row, 0)
    assert not started
    table.train_student(pair_table, row, 1)  # another process is at it: nothing is stored, and nothing raised
    assert len(started) == 1
    assert list(pair_table.stored()) == [f"{row.name} seed 0"]


def test_text_goes_between_the_marks_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- table -->\nold\n<!-- end of table -->\n<!-- other -->\nkept\n<!-- end of other -->\n")
    table.replace_between(page, "table", r"new \1" + "\n")
    expected = "above\n<!-- table -->\nnew \\1\n<!-- end of table -->\n<!-- other -->\nkept\n<!-- end of other -->\n"
    assert page.read_text() == expected
