"""Train a pair's table, one resumable command: the student by every method and seed, beside teacher and baselines.

usage: python benchmarks/distill/table.py [PAIR ...] --data FOLDER [-o runs/table] [--only REGEX] [--threads N]
       python benchmarks/distill/table.py --data FOLDER --paper --only 'seed 0'     (the paper's sizes; wants a GPU)

What to train stands in ``benchmarks/distill/<pair>.toml``; the teacher too, where its weights are not there. A run that
is done is not run again, one that was stopped goes on where it was; start the command twice and the two share the runs.
Figures go into ``results/<pair>.json`` (``<pair>-paper.json``), one run a key, with the digest of its configuration and
teacher: a changed recipe trains again. The table replaces what stands between the two ``table`` marks (``paper table``)
of the pair's model card, and one line a pair stands between README.md's ``distilled`` marks. Without --data nothing is
trained.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib
import torch

from edgekd.bench.accuracy import judged
from edgekd.core import family
from edgekd.core.artifact import digest_of, locked, sha256_of, write_atomic
from edgekd.core.clock import stopwatch
from edgekd.core.config import Recipe
from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe, pairs_root
from edgekd.core.schema import parse, to_plain
from edgekd.datasets.item import Item
from edgekd.distill import train as training
from edgekd.distill.data import validate
from edgekd.networks.checkpoint import load_weights, network
from edgekd.results.statistics import t_quantile

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a way of training the student, and the seeds it is done with.

    Attributes:
        name: What the line is called.
        set: What is changed in the recipe.
        seeds: One run each.
        aside: Of another student or schedule, so that gains are not worked out with it.
        control_of: The row that this one is to be held against, and no other.
    """

    name: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    aside: bool = False
    control_of: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    """A line from the literature, in its own words: another setting, not to be compared."""

    name: str
    figure: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``<pair>.toml``.

    Attributes:
        training: Folders under ``--data`` to train on.
        sets: Name → folder under ``--data`` whose validation pictures are scored.
        show: Metrics of the table, and their number format.
        rows, papers: Its lines.
        note: Below it.
        paper_set: With --paper, what is changed in recipe.toml: a schedule for the pictures at hand.
    """

    training: tuple[str, ...]
    sets: Mapping[str, str]
    show: Mapping[str, str]
    rows: tuple[Row, ...] = ()
    papers: tuple[Paper, ...] = ()
    note: str = ""
    paper_set: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """A pair's plan, where its data and runs lie, and what is known so far."""

    pair: str
    plan: Plan
    data: Path
    out: Path
    results: Path
    paper: bool
    sets: dict[str, list[Item]] = field(default_factory=dict)

    def recipe(self, row: Row, seed: int) -> Recipe:
        """Return the recipe of one run."""
        name, changed = ("recipe.toml", self.plan.paper_set) if self.paper else ("small.toml", ())
        return load_recipe(self.folder() / name, [*changed, *row.set, f"distill.student.seed={seed}"])

    def folder(self) -> Path:
        """Return the pair's folder."""
        return pairs_root() / self.pair

    def teacher(self, recipe: Recipe) -> Path:
        """Return the trained teacher's weights: the pair's own, or those trained here."""
        assert recipe.pair is not None, "a pair's recipe has [pair]"
        shipped = self.folder() / recipe.pair.teacher
        return shipped if shipped.is_file() else self.out / "teacher" / "teacher.safetensors"

    def digest(self, recipe: Recipe) -> str:
        """Return what a student's figures depend on, apart from code and data."""
        data = {"layout": recipe.data.layout, "options": dict(recipe.data.options)}
        plain = {"task": dict(recipe.task), "data": data, "network": to_plain(recipe.network)}
        train = to_plain(recipe.distill.student)
        for free in ("checkpoint_every", "validate_every", "workers"):
            train.pop(free)
        if not recipe.distill.student.teacher_precision:
            train.pop("teacher_precision")
        taught = family.load("distill.methods", recipe.distill.student.method).NEEDS_TEACHER
        weights = self.teacher(recipe)
        known = self.known().get("teacher", {}).get("weights", "")
        return digest_of([plain, train, (sha256_of(weights) if weights.is_file() else known) if taught else ""])[:16]

    def items(self, recipe: Recipe) -> dict[str, list[Item]]:
        """Read the sets once."""
        if not self.sets:
            module = family.load("datasets.layouts", recipe.data.layout)
            options = parse(module.Config, dict(recipe.data.options), "data.options")
            for name, folder in self.plan.sets.items():
                self.sets[name] = module.validation([self.data / folder], options, recipe.task)
        return self.sets

    def known(self) -> dict[str, Any]:
        """Read the results there are."""
        found: dict[str, Any] = json.loads(self.results.read_text()) if self.results.exists() else {}
        return found

    def current(self) -> dict[str, Any]:
        """Leave out of what is known what was trained with another configuration or teacher than today's."""
        known = self.known()
        runs = {f"{row.name} seed {seed}": (row, seed) for row in self.plan.rows for seed in row.seeds}
        stale = [key for key in known if key in runs and known[key]["config"] != self.digest(self.recipe(*runs[key]))]
        return {key: entry for key, entry in known.items() if key not in stale}

    def keep(self, key: str, entry: Mapping[str, Any]) -> None:
        """Add one result; two processes take turns, each for milliseconds."""
        done = False
        while not done:
            with contextlib.suppress(InputError), locked(self.out / "results"):
                text = json.dumps({**self.known(), key: entry}, indent=1, sort_keys=True)
                write_atomic(self.results, text + "\n")
                done = True


def references(bench: Bench, recipe: Recipe) -> None:
    """Train the teacher where there is none, and score it, and doing without a network."""
    weights = bench.teacher(recipe)
    if not weights.is_file():
        data = [bench.data / name for name in bench.plan.training]
        training.run(training.Job(bench.folder(), "teacher", None, data, weights.parent, quiet=True), recipe)
    sha256 = sha256_of(weights)
    if bench.known().get("teacher", {}).get("weights") == sha256:
        return
    module = load_weights(network(bench.folder(), "teacher", recipe.network.teacher), weights)
    found = {"name": "teacher", "weights": sha256, "sets": scores(bench, recipe, module), **when()}
    bench.keep("teacher", found)
    for label, sets in without(bench, recipe).items():
        bench.keep(f"without {label}", {"name": label, "sets": sets})


def without(bench: Bench, recipe: Recipe) -> dict[str, dict[str, dict[str, float]]]:
    """Score what needs no network, by the task's ``baselines`` or ``baseline``: label → set → metric → value."""
    assert recipe.pair is not None, "a pair's recipe has [pair]"
    task: Any = family.load("tasks", recipe.pair.task)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, items in bench.items(recipe).items():
        outputs: dict[str, list[Any]] = {}
        truths = []
        for item in items:
            seen, truth = task.fit(item.seen, item.truth, None, recipe.task)
            truths.append(truth)
            if hasattr(task, "baselines"):
                made = task.baselines(seen, recipe.task)
            else:
                made = {task.BASELINE: task.baseline(seen, recipe.task)} if hasattr(task, "baseline") else {}
            for label, picture in made.items():
                outputs.setdefault(label, []).append(picture)
        for label, pictures in outputs.items():
            found.setdefault(label, {})[name] = dict(judged(tuple(pictures), truths, task, recipe.task).overall)
    return found


def scores(bench: Bench, recipe: Recipe, module: torch.nn.Module) -> dict[str, dict[str, float]]:
    """Score a network on every set."""
    assert recipe.pair is not None
    task = family.load("tasks", recipe.pair.task)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = module.to(device).eval()
    return {name: validate(module, items, task, recipe.task) for name, items in bench.items(recipe).items()}


def train(bench: Bench, row: Row, seed: int) -> None:
    """Train and score one student, unless that is done or another process is at it."""
    recipe = bench.recipe(row, seed)
    key, digest = f"{row.name} seed {seed}", bench.digest(recipe)
    if bench.known().get(key, {}).get("config") == digest:
        return
    folder = bench.out / re.sub(r"[^\w.]+", "_", f"{row.name}_{seed}_{digest[:6]}")
    data = [bench.data / name for name in bench.plan.training]
    job = training.Job(bench.folder(), "student", bench.teacher(recipe), data, folder, quiet=True)
    seconds = stopwatch()
    try:
        weights = training.run(job, recipe)
    except InputError as err:
        if "another edgekd run" not in str(err):
            raise
        return
    module = load_weights(network(bench.folder(), "student", recipe.network.student), weights)
    entry = {"name": row.name, "seed": seed, "config": digest, "steps": recipe.distill.student.steps}
    bench.keep(key, {**entry, "sets": scores(bench, recipe, module), "minutes": round(seconds() / 60, 1), **when()})
    sys.stderr.write(f"{bench.pair}: {key} done\n")


def when() -> dict[str, str]:
    """Say on what and when a figure was made."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return {
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def table(plan: Plan, known: Mapping[str, Any]) -> str:
    """Write the Markdown table of the results there are: mean and, of several seeds, its 95 % interval."""
    columns = [(name, metric) for name in plan.sets for metric in plan.show]
    heads = ["", "seeds", *(f"{name} {metric}" if len(plan.sets) > 1 else metric for name, metric in columns)]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}"]
    names = [entry["name"] for key, entry in list(known.items())[::-1] if key.startswith(("without", "teacher"))]
    for name in [*names, *(row.name for row in plan.rows)]:
        entries = [entry for entry in known.values() if entry["name"] == name]
        if not entries:
            continue
        cells = [_cell([e["sets"][s][m] for e in entries if s in e["sets"]], plan.show[m]) for s, m in columns]
        lines.append(f"| {name} | {len(entries) if 'seed' in entries[0] else ''} | {' | '.join(cells)} |")
    lines += _gains(plan, known, columns)
    lines += [
        f"| *{paper.name} (the paper's setting, not comparable)* | | {paper.figure} |{' |' * (len(columns) - 1)}"
        for paper in plan.papers
    ]
    return "\n".join(lines) + ("\n\n" + plan.note if plan.note else "") + "\n"


def essence(benches: Sequence[Bench]) -> str:
    """Write README's table: a line a pair, the first metric of the first set, on the seeds that all three share."""
    lines = ["| pair | | seeds | doing without | teacher | no teacher | logits | the paper's method |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
    for bench in benches:
        (of, *_), (metric, *_) = bench.plan.sets, bench.plan.show
        method = next(row.name for row in bench.plan.rows if not row.name.startswith(("none", "logits")))
        found: dict[str, dict[int, float]] = {}
        for key, entry in bench.current().items():
            name = "without" if key.startswith("without") else entry["name"].partition(" ")[0]
            # A row of a method's variants is named after it, with a comma or more words.
            if name in ("without", entry["name"]) or name == "logits":
                runs = found.setdefault(name, {})
                runs[entry.get("seed", len(runs))] = entry["sets"][of][metric]
        trained = [found.get(name, {}) for name in ("none", "logits", method)]
        seeds = sorted(set.intersection(*(set(runs) for runs in trained)))
        if not seeds:
            continue
        form = bench.plan.show[metric]
        rows = [[*found["teacher"].values()], *([runs[seed] for seed in seeds] for runs in trained)]
        cells = [_cell(row, form) for row in rows]
        spared = format(max(found["without"].values()), form) if "without" in found else ""
        what = f"[{bench.pair}](models/{bench.pair}) | {of}, {metric} | {len(seeds)} | {spared}"
        lines.append(f"| {what} | {' | '.join(cells)} ({method}) |")
    return "\n".join(lines) + "\n"


def _gains(plan: Plan, known: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of what each method of several seeds gains over its controls, paired by seed."""
    by_name = {row.name: {e["seed"]: e["sets"] for e in known.values() if e["name"] == row.name} for row in plan.rows}
    methods = [row.name for row in plan.rows if not row.aside and not row.control_of and len(by_name[row.name]) > 1]
    against = [
        (name, control)
        for control in methods
        if control == "none" or control.startswith("logits")
        for name in methods[methods.index(control) + 1 :]
    ]
    against += [(row.control_of, row.name) for row in plan.rows if row.control_of]
    lines = []
    for name, control in against:
        seeds = sorted(by_name[name].keys() & by_name[control].keys())
        if len(seeds) < 2:
            continue
        pairs = [(by_name[name][seed], by_name[control][seed]) for seed in seeds]
        gains = [_cell([a[s][m] - b[s][m] for a, b in pairs], "+" + plan.show[m]) for s, m in columns]
        lines.append(f"| {name} − {control}, paired by seed | {len(seeds)} | {' | '.join(gains)} |")
    return lines


def _cell(values: Sequence[float], form: str) -> str:
    mean = sum(values) / len(values) if values else float("nan")
    if len(values) < 2:
        return format(mean, form)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    half = t_quantile(0.975, len(values) - 1) * spread / len(values) ** 0.5
    return f"{format(mean, form)} ± {format(half, form.lstrip('+'))}"


def run(bench: Bench, only: str) -> None:
    """Train and score what is missing of one pair's table."""
    bench.out.mkdir(parents=True, exist_ok=True)
    bench.results.parent.mkdir(exist_ok=True)
    references(bench, bench.recipe(bench.plan.rows[0], 0))
    runs = [(row, seed) for row in bench.plan.rows for seed in row.seeds]
    # What is told by several seeds comes first, a seed of every method at a time.
    for row, seed in sorted(runs, key=lambda run: (len(run[0].seeds) == 1, run[1])):
        if re.search(only, f"{row.name} seed {seed}"):
            train(bench, row, seed)


def publish(bench: Bench) -> str:
    """Write the table of what is known into the pair's card, and return it."""
    text = table(bench.plan, bench.current())
    replace_between(bench.folder() / "README.md", "paper table" if bench.paper else "table", text)
    return text


def replace_between(path: Path, mark: str, text: str) -> None:
    """Put ``text`` between a file's two marks."""
    marks = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)", re.DOTALL)
    write_atomic(path, marks.sub(lambda found: found[1] + text + found[2], path.read_text()))


def main() -> None:
    """Parse; for each pair train what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plans = sorted(path.stem for path in _HERE.glob("*.toml"))
    parser.add_argument("pair", nargs="*", default=plans, help="all by default")
    parser.add_argument("--data", type=Path, help="the folder whose sub-folders the plans name")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/table"))
    parser.add_argument("--only", default="", help="regular expression over 'NAME seed N'")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--paper", action="store_true", help="recipe.toml with the plan's paper_set")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    for pair in args.pair:
        bench = bench_of(pair, args.data, args.output, paper=args.paper)
        if args.data is not None:
            run(bench, args.only)
        sys.stdout.write(f"## {bench.results.stem}\n\n{publish(bench)}\n")
    every = [bench_of(pair, args.data, args.output, paper=False) for pair in plans]
    replace_between(_HERE.parents[1] / "README.md", "distilled", essence(every))


def bench_of(pair: str, data: Path, out: Path, *, paper: bool) -> Bench:
    """Read a pair's plan."""
    plan = parse(Plan, tomllib.loads((_HERE / f"{pair}.toml").read_text()), pair)
    name = f"{pair}-paper" if paper else pair
    return Bench(pair, plan, data, out / name, _HERE / "results" / f"{name}.json", paper)


if __name__ == "__main__":
    main()
