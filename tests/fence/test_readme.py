"""The documents are true: commands and recipe keys exist, links lead to files, the drawn tree is the disk."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgekd
from edgekd.core import config
from edgekd.core.errors import EdgeKDError
from edgekd.core.family import names
from edgekd.core.recipe import recipe_from
from edgekd.pipeline import library

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "models/*/README.md", "models/*/pictures/README.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
# These are run as they stand; of the others, the verb's --help must list every option.
CHEAP = {f"edgekd {word}" for word in ("--help", "doctor", "models", "targets")}
CHEAP |= {f"python -m edgekd.agent {verb}" for verb in ("selftest", "doctor")}
# Files of a checkout that the tree leaves out.
UNDRAWN = {"LICENSE", "README.md", "__init__.py", "__main__.py"}
# Words that edgekd's prose used to have, of nobody's field but its own. CHANGELOG.md lists what replaced them.
PRIVATE_WORDS = re.compile(
    r"yardstick|\btaps?\b|blame|\badopt(?:s|ed)?\b|\bembed(?:s|ded)?_pre|doing without|in turns|\bnotice\b|\bnobody\b"
    r"|the truth is|worth it|\bmend\b|at hand|\bweigh(?:s|ed|ing)?\b|what the library said|as far as these samples"
    r"|\bedgekd pairs\b|--write\b|quantize\.scheme=|max_foreign_load|(?<!ground )\btruth\b",
    re.IGNORECASE,
)


def blocks(text: str, kind: str) -> list[str]:
    """Return the fenced blocks of one kind ("" for those that name none)."""
    every = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for word, body in every if word == kind]


def commands(text: str) -> list[str]:
    return [line[2:] for block in blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")]


def workflow_commands(text: str) -> list[str]:
    """Return the edgekd commands of a workflow's scripts, as they would be typed."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = (re.search(r'\.venv/bin/edgekd"? (.*?)(?: \|\| .*)?$', line) for line in lines)
    return [f"edgekd {match.group(1)}" for match in found if match]


def drawn(tree: str) -> set[str]:
    """Return the paths a drawing of a tree stands for, the topmost folder left out."""
    found: set[str] = set()
    above: list[str] = []
    for line in tree.splitlines():
        branch = re.match(r"^((?:│   |    )*)[├└]── (\S+)", line)
        if branch:
            above = [*above[: len(branch.group(1)) // 4], branch.group(2)]
            found.add("/".join(above))
    return found


def on_disk(root: Path) -> set[str]:
    """Return what a tree of two levels must draw: what git holds at the top, and the rooms of the package."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout, which may hold any other file")
    files = [name.split("/") for name in done.stdout.split("\0") if name]
    shown = {parts[0] for parts in files}
    shown |= {"/".join(parts[:2]) for parts in files if parts[0] == "edgekd" and parts[1:]}
    return {path for path in shown if path.split("/")[-1] not in UNDRAWN and not path.startswith(".")}


def make_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


@functools.cache
def help_of(verb: tuple[str, ...]) -> tuple[int, str]:
    """Return the exit code and the text of ``... --help``, asked once per verb."""
    done = subprocess.run(
        [sys.executable, *verb, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, env=_wide()
    )
    return done.returncode, done.stdout


def _wide() -> dict[str, str]:
    """Return an environment in which help texts do not break option names."""
    return {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}


def wrong(command: str, root: Path) -> str | None:
    """Return what is wrong with a documented command, or None."""
    words = shlex.split(command)
    if words[0] == "make":
        unknown = set(words[1:]) - make_targets((root / "Makefile").read_text())
        return f"make has no target {sorted(unknown)}" if unknown else None
    if words[0] == "pip":
        return None if words[-1].startswith("edgekd") else f"{command}: installs something else"
    if words[0].startswith("."):
        return None if (root / words[0]).is_file() else f"{words[0]} is not there"
    if words[0] == "edgekd":
        words = ["-m", *words]
    elif words[0] == "python":
        words = words[1:]
    else:
        return f"{command}: this test does not know how to run {words[0]}"
    if command in CHEAP:
        done = subprocess.run(
            [sys.executable, *words], cwd=root, capture_output=True, text=True, check=False, env=_wide()
        )
        return f"{command}: exit {done.returncode}: {done.stderr}" if done.returncode else None
    code, text = help_of(tuple(words[:3]))
    options = [word for word in words[3:] if word.startswith("-")]
    absent = [word for word in options if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]
    if code or absent:
        return f"{command}: exit {code}, no option {absent}"
    return wrong_key(words)


def wrong_key(words: list[str]) -> str | None:
    """Return what is wrong with the recipe keys of ``--set``, or None."""
    try:
        recipe_from({}, [value for option, value in itertools.pairwise(words) if option == "--set"])
    except EdgeKDError as err:
        return str(err)
    return None


@pytest.mark.parametrize(
    "command", sorted({command for name in DOCUMENTS for command in commands((ROOT / name).read_text())})
)
def test_documented_commands_run(command: str, root: Path) -> None:
    assert wrong(command, root) is None


@pytest.mark.parametrize(
    "command",
    [
        *("make coffee", "edgekd brew", "edgekd run x --sett a=b", "edgekd run x --set bench.width=3", "./gone"),
        *("edgekd run x --calibration-image photographs", "pip install torch", "npm install"),
    ],
)
def test_a_wrong_command_is_found(command: str, root: Path) -> None:
    assert wrong(command, root)


WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.mark.parametrize(
    "command", sorted({command for path in WORKFLOWS.glob("*.yml") for command in workflow_commands(path.read_text())})
)
def test_commands_of_workflows_run(command: str, root: Path) -> None:
    assert wrong(command, root) is None


def test_commands_of_a_workflow_are_found_over_several_lines() -> None:
    text = 'x\n  "$side/.venv/bin/edgekd" run "$side/net" \\\n    --quiet || code=$?\n  new/.venv/bin/edgekd brew\n'
    assert workflow_commands(text) == ['edgekd run "$side/net" --quiet', "edgekd brew"]


def test_the_tree_is_the_disk(root: Path) -> None:
    (tree,) = blocks((root / "docs" / "house.md").read_text(), "tree")
    assert [path for path in drawn(tree) if not (root / path).exists()] == [], "drawn, and not there"
    assert on_disk(root) - drawn(tree) == set(), "there, and not drawn"


def test_a_tree_is_read_as_it_is_drawn() -> None:
    assert drawn("top\n├── a\n│   ├── b.py   words\n│   └── c\n│       └── d\n└── e\n") == {
        "a",
        "a/b.py",
        "a/c",
        "a/c/d",
        "e",
    }


def dead_links(text: str, folder: Path) -> list[str]:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    return [link for link in links if not (folder / link).exists()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str, root: Path) -> None:
    assert dead_links((root / name).read_text(), (root / name).parent) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md#top) [b](gone.md) [c](https://example.org/x)"
    assert dead_links(text, tmp_path) == ["gone.md"]


def test_every_page_is_linked_from_the_readme(root: Path) -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)\)", (root / "README.md").read_text()))
    assert {path.relative_to(root).as_posix() for path in (root / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "CHANGELOG.md"])
def test_documents_use_the_words_of_the_field(name: str, root: Path) -> None:
    assert [match.group() for match in PRIVATE_WORDS.finditer((root / name).read_text())] == []


@pytest.mark.parametrize("text", ["timed in turns", "the yardstick", "scored on the truth", "--write junit=x"])
def test_a_private_word_is_found(text: str) -> None:
    assert PRIVATE_WORDS.search(text)


def test_a_word_of_the_field_passes() -> None:
    assert not PRIVATE_WORDS.search("ground truth, weights, embedded boards, adaptation")


def test_the_layers_in_contributing_are_the_contracts(root: Path) -> None:
    layers = re.search(r"^layers = \[\n(.*?)^\]", (root / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert layers
    declared = re.findall(r'^  "(.*)",$', layers.group(1), re.MULTILINE)
    shown = next(
        block for block in blocks((root / "CONTRIBUTING.md").read_text(), "") if block.startswith("agent | cli\n")
    )
    assert shown.splitlines() == declared


def defines(root: Path, name: str) -> bool:
    """Whether ``package.module.function`` is defined; nothing is imported."""
    module, _, function = name.rpartition(".")
    path = root / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.parse(path.read_text()).body)


def test_the_steps_of_a_run_are_functions(root: Path) -> None:
    (flow,) = blocks((root / "CONTRIBUTING.md").read_text(), "flow")
    steps = re.findall(r"edgekd(?:\.\w+)+", flow)
    assert len(steps) >= 8
    assert [step for step in steps if not defines(root, step)] == []


def test_files_named_in_contributing_exist(root: Path) -> None:
    text = (root / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:edgekd|tests|benchmarks|models)/[\w/.]+)`", text))
    assert len(named) >= 10
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_a_step_that_is_gone_is_found(root: Path) -> None:
    assert not defines(root, "edgekd.pipeline.run.walk")
    assert not defines(root, "edgekd.pipeline.gone.run")


def recipe_keys(section: object, path: str) -> Iterator[tuple[str, str]]:
    """List (section, key) of a recipe: ("bench", "processes"), ("distill.adapt", "steps") ..."""
    for entry in dataclasses.fields(section):  # type: ignore[arg-type]
        value = getattr(section, entry.name)
        if dataclasses.is_dataclass(value):
            yield from recipe_keys(value, f"{path}.{entry.name}".strip("."))
        elif path:
            yield path, entry.name


def test_every_recipe_key_is_documented(root: Path) -> None:
    _, *parts = re.split(r"^## (.*)$", (root / "docs" / "recipe.md").read_text(), flags=re.MULTILINE)
    bodies = {
        section: body
        for head, body in zip(parts[::2], parts[1::2], strict=True)
        for section in re.findall(r"\[([\w.]+)\]", head)
    }
    recipe = config.Recipe(pair=config.PairConfig("super_resolution"))
    keys = list(recipe_keys(recipe, ""))
    assert ("bench", "processes") in keys
    missing = [
        (section, key)
        for section, key in keys
        if not {f"`{key}`", f"`{section}.{key}`"} & set(re.findall(r"`[\w.]+`", bodies.get(section, "")))
    ]
    assert missing == []


EXAMPLES = [code for name in DOCUMENTS for code in blocks((ROOT / name).read_text(), "python")]


def wrong_calls(code: str) -> list[str]:
    """List calls of the library with a name or arguments that it does not have."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if not isinstance(node.func.value, ast.Name) or node.func.value.id != "edgekd":
            continue
        verb = getattr(library, node.func.attr, None)
        try:
            inspect.signature(verb).bind(*node.args, **{keyword.arg or "": None for keyword in node.keywords})
        except TypeError as err:
            found.append(f"edgekd.{node.func.attr}: {err}")
    return found


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.partition("\n")[0])
def test_python_examples_call_the_library_as_it_is(code: str) -> None:
    assert wrong_calls(code) == []


@pytest.mark.parametrize("call", ["edgekd.brew('tea')", "edgekd.run('pair', output='runs')", "edgekd.load()"])
def test_a_wrong_call_is_found(call: str) -> None:
    assert len(wrong_calls(f"import edgekd\nx = {call}\n")) == 1


def test_the_library_page_lists_every_verb_with_its_defaults(root: Path) -> None:
    rows = re.findall(r"^\| `(\w+)\((.*?)\)` \|", (root / "docs" / "library.md").read_text(), re.MULTILINE)
    assert {verb for verb, _ in rows} == set(edgekd.__all__) - {"__version__"}
    for verb, arguments in rows:
        parameters = inspect.signature(getattr(library, verb)).parameters
        for argument in arguments.split(", "):
            name, _, default = argument.partition("=")
            shown = ast.literal_eval(default) if default else inspect.Parameter.empty
            assert shown is ... or parameters[name].default == shown, f"{verb}({argument})"


def test_every_report_format_and_command_is_documented(root: Path) -> None:
    page = (root / "docs" / "command_line.md").read_text()
    assert [name for name in (*names("report.formats"), *names("cli")) if f"`{name}`" not in page] == []
