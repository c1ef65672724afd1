"""Train the networks of a pair's table and write it: the student by every method and seed, its teacher, baselines.

usage: python benchmarks/distill/table.py [PAIR ...] --data FOLDER [-o runs/table] [--only REGEX] [--threads N]
       python benchmarks/distill/table.py --data FOLDER --paper --only 'seed 0'     (the paper's sizes; needs a GPU)

``benchmarks/distill/<pair>.toml`` lists what to train. The teacher is trained too, where its weights do not exist.
Finished runs are skipped and interrupted ones resume; two copies of this command share the runs between them. Scores go
into ``results/<pair>.json`` (``<pair>-paper.json``), one key per run, with a digest of the run's configuration and
teacher: a run whose recipe has changed is trained again. The table goes between the two ``table`` marks (``paper
table``) of the pair's model card, and one row per pair between the ``distilled`` marks of docs/distillation.md. Without
--data nothing is trained, and both are written from the stored scores.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tomllib
import torch
from numpy.typing import NDArray

from edgekd.bench.accuracy import score
from edgekd.core import family
from edgekd.core.artifact import locked, sha256_of, write_atomic
from edgekd.core.clock import stopwatch
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError
from edgekd.core.protocols import Array, HasBaseline
from edgekd.core.provenance import digest_of
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.core.schema import parse, to_plain
from edgekd.datasets.item import Item
from edgekd.distill import train
from edgekd.distill.data import validate
from edgekd.distill.state import FREE_FIELDS
from edgekd.networks.checkpoint import load_weights, network
from edgekd.results.statistics import t_quantile

_HERE = Path(__file__).resolve().parent
_PAGE = _HERE.parents[1] / "docs" / "distillation.md"
# Keys of results/<pair>.json that are no run of the student: "teacher", and "baseline <name>".
_TEACHER, _BASELINE = "teacher", "baseline "
Scores = Mapping[str, Mapping[str, float]]  # set → metric → score


@runtime_checkable
class HasBaselines(Protocol):
    """A task with several baselines that need no network."""

    def baselines(self, image: NDArray[np.uint8], options: Mapping[str, Any]) -> Mapping[str, Array]:
        """(H, W, 3) uint8 → name → what ``postprocess`` would give."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: a way to train the student.

    Attributes:
        name: The row's label.
        set: Overrides of the recipe.
        seeds: One run each.
        aside: Trained with another student or schedule: no gain is computed with it.
        control_of: The one row that this row is the control of.
    """

    name: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    aside: bool = False
    control_of: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    """A published figure, as published: measured in another setting, not to be compared."""

    name: str
    figure: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``<pair>.toml``.

    Attributes:
        training: Folders under ``--data`` to train on.
        sets: Name → folder under ``--data`` whose validation pictures are scored.
        show: Metric of the table → its number format.
        rows, papers: The table's rows.
        note: The text below the table.
        paper_set: With --paper, overrides of recipe.toml: a schedule for the data that is available.
    """

    training: tuple[str, ...]
    sets: Mapping[str, str]
    show: Mapping[str, str]
    rows: tuple[Row, ...] = ()
    papers: tuple[Paper, ...] = ()
    note: str = ""
    paper_set: tuple[str, ...] = ()

    def runs(self) -> Iterator[tuple[str, Row, int]]:
        """Yield each run: its key in the stored results, its row and its seed."""
        for row in self.rows:
            for seed in row.seeds:
                yield f"{row.name} seed {seed}", row, seed


@dataclass(frozen=True, slots=True)
class PairTable:
    """A pair's plan, its folders, and its stored results."""

    pair: str
    plan: Plan
    data: Path
    out: Path
    results: Path
    paper: bool
    _validation: dict[str, list[Item]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The pair's folder."""
        return pairs_root() / self.pair

    def recipe(self, row: Row, seed: int) -> Recipe:
        """Return the recipe of one run."""
        name, overrides = ("recipe.toml", self.plan.paper_set) if self.paper else ("small.toml", ())
        return load_recipe(self.folder / name, [*overrides, *row.set, f"distill.student.seed={seed}"])

    def teacher(self, recipe: Recipe) -> Path:
        """Return the path of the trained teacher's weights: the pair's own, or those trained here."""
        assert recipe.pair is not None, "a pair's recipe has [pair]"
        shipped = self.folder / recipe.pair.teacher
        return shipped if shipped.is_file() else self.out / "teacher" / "teacher.safetensors"

    def digest(self, recipe: Recipe) -> str:
        """Return a digest of what a student's scores depend on, apart from code and data."""
        data = {"layout": recipe.data.layout, "options": dict(recipe.data.options)}
        plain = {"task": dict(recipe.task), "data": data, "network": to_plain(recipe.network)}
        config = to_plain(recipe.distill.student)
        for name in FREE_FIELDS:
            config.pop(name)
        if not recipe.distill.student.teacher_precision:
            config.pop("teacher_precision")  # younger than the first stored results, which are the same without it
        teacher_sha256 = ""
        if family.load("distill.methods", recipe.distill.student.method).NEEDS_TEACHER:
            weights = self.teacher(recipe)
            stored = self.stored().get(_TEACHER, {}).get("weights", "")
            teacher_sha256 = sha256_of(weights) if weights.is_file() else stored
        return digest_of([plain, config, teacher_sha256])[:16]

    def validation(self, recipe: Recipe) -> dict[str, list[Item]]:
        """Return the validation pictures of every set; they are read once."""
        if not self._validation:
            module = family.load("datasets.layouts", recipe.data.layout)
            options = parse(module.Config, dict(recipe.data.options), "data.options")
            for name, folder in self.plan.sets.items():
                self._validation[name] = list(module.validation([self.data / folder], options, recipe.task))
        return self._validation

    def stored(self) -> dict[str, Any]:
        """Read all stored results: key → entry."""
        entries: dict[str, Any] = json.loads(self.results.read_text()) if self.results.exists() else {}
        return entries

    def current(self) -> dict[str, Any]:
        """Return the stored results without those of another configuration or teacher than today's."""
        stored = self.stored()
        runs = {key: (row, seed) for key, row, seed in self.plan.runs()}
        digests = {key: self.digest(self.recipe(*runs[key])) for key in runs.keys() & stored.keys()}
        return {key: entry for key, entry in stored.items() if digests.get(key) in (None, entry.get("config"))}

    def store(self, key: str, entry: Mapping[str, Any]) -> None:
        """Add one result; a second process waits for the first, which takes milliseconds."""
        done = False
        while not done:
            with contextlib.suppress(InputError), locked(self.out / "results"):
                text = json.dumps({**self.stored(), key: entry}, indent=1, sort_keys=True)
                write_atomic(self.results, text + "\n")
                done = True


def references(pair_table: PairTable, recipe: Recipe) -> None:
    """Train the teacher where it does not exist; score it and the no-network baselines."""
    weights = pair_table.teacher(recipe)
    if not weights.is_file():
        data = [pair_table.data / name for name in pair_table.plan.training]
        train.run(train.TrainJob(pair_table.folder, "teacher", None, data, weights.parent, quiet=True), recipe)
    sha256 = sha256_of(weights)
    if pair_table.stored().get(_TEACHER, {}).get("weights") == sha256:
        return
    module = load_weights(network(pair_table.folder, "teacher", recipe.network.teacher), weights)
    entry = {"name": "teacher", "weights": sha256, "sets": scores(pair_table, recipe, module), **made_on()}
    pair_table.store(_TEACHER, entry)
    for name, sets in baseline_scores(pair_table, recipe).items():
        pair_table.store(_BASELINE + name, {"name": name, "sets": sets})


def baseline_scores(pair_table: PairTable, recipe: Recipe) -> dict[str, dict[str, Mapping[str, float]]]:
    """Score the task's no-network baselines: baseline → set → metric → score."""
    task = task_of(recipe)
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for set_name, items in pair_table.validation(recipe).items():
        outputs: dict[str, list[Any]] = {}
        targets = []
        for item in items:
            image, target = task.fit(item.image, item.target, None, recipe.task)
            targets.append(target)
            if isinstance(task, HasBaselines):
                named = task.baselines(image, recipe.task)
            else:
                named = {task.BASELINE: task.baseline(image, recipe.task)} if isinstance(task, HasBaseline) else {}
            for name, output in named.items():
                outputs.setdefault(name, []).append(output)
        for name, outputs_of_name in outputs.items():
            accuracy = score(outputs_of_name, targets, task, recipe.task)
            found.setdefault(name, {})[set_name] = dict(accuracy.overall)
    return found


def task_of(recipe: Recipe) -> Any:
    """Import the pair's task."""
    assert recipe.pair is not None, "a pair's recipe has [pair]"
    return family.load("tasks", recipe.pair.task)


def scores(pair_table: PairTable, recipe: Recipe, module: torch.nn.Module) -> dict[str, dict[str, float]]:
    """Score a network: set → metric → score."""
    task = task_of(recipe)
    module = module.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    sets = pair_table.validation(recipe)
    return {name: validate(module, items, task, recipe.task) for name, items in sets.items()}


def train_student(pair_table: PairTable, row: Row, seed: int) -> None:
    """Train and score one student, unless its result is stored or another process trains it."""
    recipe = pair_table.recipe(row, seed)
    key, digest = f"{row.name} seed {seed}", pair_table.digest(recipe)
    if pair_table.stored().get(key, {}).get("config") == digest:
        return
    folder = pair_table.out / re.sub(r"[^\w.]+", "_", f"{row.name}_{seed}_{digest[:6]}")
    data = [pair_table.data / name for name in pair_table.plan.training]
    job = train.TrainJob(pair_table.folder, "student", pair_table.teacher(recipe), data, folder, quiet=True)
    seconds = stopwatch()
    try:
        weights = train.run(job, recipe)
    except InputError as err:
        if "another edgekd run" not in str(err):
            raise
        return
    module = load_weights(network(pair_table.folder, "student", recipe.network.student), weights)
    entry = {"name": row.name, "seed": seed, "config": digest, "steps": recipe.distill.student.steps}
    entry |= {"sets": scores(pair_table, recipe, module), "minutes": round(seconds() / 60, 1), **made_on()}
    pair_table.store(key, entry)
    sys.stderr.write(f"{pair_table.pair}: {key} done\n")


def made_on() -> dict[str, str]:
    """Return the machine, versions and date of a result."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return {"device": device, "torch": torch.__version__, "python": platform.python_version(), "date": today}


def table(plan: Plan, entries: Mapping[str, Any]) -> str:
    """Return the Markdown table of stored results: the mean and, of several seeds, its 95 % interval."""
    columns = [(set_name, metric) for set_name in plan.sets for metric in plan.show]
    heads = ["", "seeds", *(f"{name} {metric}" if len(plan.sets) > 1 else metric for name, metric in columns)]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}"]
    names = [entry["name"] for key, entry in sorted(entries.items(), reverse=True) if key.startswith(_BASELINE)]
    for name in [*names, _TEACHER, *(row.name for row in plan.rows)]:
        of_row = [entry for entry in entries.values() if entry["name"] == name]
        if not of_row:
            continue
        cells = []
        for set_name, metric in columns:
            values = [entry["sets"][set_name][metric] for entry in of_row if set_name in entry["sets"]]
            cells.append(_cell(values, plan.show[metric]))
        lines.append(f"| {name} | {len(of_row) if 'seed' in of_row[0] else ''} | {' | '.join(cells)} |")
    lines += _gains(plan, entries, columns)
    for paper in plan.papers:
        name = f"*{paper.name} (the paper's setting, not comparable)*"
        lines.append(f"| {name} | | {paper.figure} |{' |' * (len(columns) - 1)}")
    return "\n".join(lines) + ("\n\n" + plan.note if plan.note else "") + "\n"


def overview(pair_tables: Sequence[PairTable]) -> str:
    """Return the page's table: a row per pair, the first metric of the first set, on the seeds that all three share."""
    lines = ["| pair | | seeds | no-network baseline | teacher | no teacher | logits | the paper's method |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
    for pair_table in pair_tables:
        plan, entries = pair_table.plan, pair_table.current()
        set_name, metric = next(iter(plan.sets)), next(iter(plan.show))
        method = next(row.name for row in plan.rows if not row.name.startswith(("none", "logits")))
        trained = [_scores_by_seed(entries, name) for name in ("none", "logits", method)]
        seeds = sorted(trained[0].keys() & trained[1].keys() & trained[2].keys())
        if not seeds:
            continue
        values = {key: entry["sets"][set_name][metric] for key, entry in entries.items() if "seed" not in entry}
        baselines = [value for key, value in values.items() if key.startswith(_BASELINE)]
        form = plan.show[metric]
        cells = [format(max(baselines), form) if baselines else "", format(values[_TEACHER], form)]
        cells += [_cell([by_seed[seed][set_name][metric] for seed in seeds], form) for by_seed in trained]
        link = f"[{pair_table.pair}](../models/{pair_table.pair}/README.md)"
        lines.append(f"| {link} | {set_name}, {metric} | {len(seeds)} | {' | '.join(cells)} ({method}) |")
    return "\n".join(lines) + "\n"


def _scores_by_seed(entries: Mapping[str, Any], row: str) -> dict[int, Scores]:
    """Return seed → scores of one row; a remark in brackets behind its name may be left out."""
    of_row = [entry for entry in entries.values() if row in (entry["name"], entry["name"].partition(" (")[0])]
    return {entry["seed"]: entry["sets"] for entry in of_row}


def _gains(plan: Plan, entries: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Return the rows of what each method with several seeds gains over its controls, paired by seed."""
    by_row = {row.name: _scores_by_seed(entries, row.name) for row in plan.rows}
    lines = []
    for name, control in _comparisons(plan, by_row):
        seeds = sorted(by_row[name].keys() & by_row[control].keys())
        if len(seeds) < 2:
            continue
        cells = []
        for set_name, metric in columns:
            gains = [by_row[name][s][set_name][metric] - by_row[control][s][set_name][metric] for s in seeds]
            cells.append(_cell(gains, "+" + plan.show[metric]))
        lines.append(f"| {name} − {control}, paired by seed | {len(seeds)} | {' | '.join(cells)} |")
    return lines


def _comparisons(plan: Plan, by_row: Mapping[str, Mapping[int, Scores]]) -> list[tuple[str, str]]:
    """Return (row, control) of each comparison: with the controls above a row, and with its own control."""
    methods = [row.name for row in plan.rows if not row.aside and not row.control_of and len(by_row[row.name]) > 1]
    pairs = []
    for index, control in enumerate(methods):
        if control == "none" or control.startswith("logits"):
            pairs += [(name, control) for name in methods[index + 1 :]]
    return pairs + [(row.control_of, row.name) for row in plan.rows if row.control_of]


def _cell(values: Sequence[float], form: str) -> str:
    """Format the mean and, of several values, half of its 95 % interval by Student's t."""
    mean = sum(values) / len(values) if values else float("nan")
    if len(values) < 2:
        return format(mean, form)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    half = t_quantile(0.975, len(values) - 1) * spread / len(values) ** 0.5
    return f"{format(mean, form)} ± {format(half, form.lstrip('+'))}"


def run(pair_table: PairTable, only: str) -> None:
    """Train and score what is missing in one pair's table; ``only`` is a regular expression over the runs' keys."""
    pair_table.out.mkdir(parents=True, exist_ok=True)
    pair_table.results.parent.mkdir(exist_ok=True)
    references(pair_table, pair_table.recipe(pair_table.plan.rows[0], 0))
    # Rows with several seeds come first, one seed of every method at a time.
    runs = sorted(pair_table.plan.runs(), key=lambda run: (len(run[1].seeds) == 1, run[2]))
    for key, row, seed in runs:
        if re.search(only, key):
            train_student(pair_table, row, seed)


def replace_between(path: Path, mark: str, text: str) -> None:
    """Put ``text`` between a file's two marks."""
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    write_atomic(path, marks.sub(lambda found: found[1] + text + found[2], path.read_text()))


def main() -> None:
    """Parse the command line; for each pair, train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pairs = sorted(path.stem for path in _HERE.glob("*.toml"))
    parser.add_argument("pair", nargs="*", default=pairs, help="all by default")
    parser.add_argument("--data", type=Path, help="the folder that holds the folders of the plans")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/table"))
    parser.add_argument("--only", default="", help="regular expression over 'NAME seed N'")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--paper", action="store_true", help="recipe.toml with the plan's paper_set")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    for pair in args.pair:
        pair_table = table_of(pair, args.data, args.output, paper=args.paper)
        if args.data is not None:
            run(pair_table, args.only)
        text = table(pair_table.plan, pair_table.current())
        replace_between(pair_table.folder / "README.md", "paper table" if args.paper else "table", text)
        sys.stdout.write(f"## {pair_table.results.stem}\n\n{text}\n")
    every = [table_of(pair, args.data, args.output, paper=False) for pair in pairs]
    replace_between(_PAGE, "distilled", overview(every))


def table_of(pair: str, data: Path, out: Path, *, paper: bool) -> PairTable:
    """Read a pair's plan."""
    plan = parse(Plan, tomllib.loads((_HERE / f"{pair}.toml").read_text()), pair)
    name = f"{pair}-paper" if paper else pair
    return PairTable(pair, plan, data, out / name, _HERE / "results" / f"{name}.json", paper)


if __name__ == "__main__":
    main()
