"""What the documents say is so: the tree is the disk, every command exists, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
# Run as they stand; of the others only that the verb and its options exist.
CHEAP = {f"edgekd {word}" for word in ("--help", "doctor", "pairs", "targets")}
CHEAP |= {f"python -m edgekd.agent {verb}" for verb in ("selftest", "doctor")}
# What a checkout has besides what the tree draws.
UNDRAWN = {"LICENSE", "README.md", "__init__.py", "__main__.py"}

ROOT = Path(__file__).resolve().parent.parent.parent


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
        pytest.skip("not a git checkout: whoever unpacked it may have put anything beside it")
    files = [name.split("/") for name in done.stdout.split("\0") if name]
    shown = {parts[0] for parts in files} | {
        "/".join(parts[:2]) for parts in files if parts[0] == "edgekd" and parts[1:]
    }
    return {path for path in shown if path.split("/")[-1] not in UNDRAWN and not path.startswith(".")}


def make_targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def wrong(command: str, root: Path) -> str | None:
    """Say what is wrong with a documented command, or None."""
    words = shlex.split(command)
    if words[0] == "make":
        unknown = set(words[1:]) - make_targets((root / "Makefile").read_text())
        return f"make has no target {sorted(unknown)}" if unknown else None
    if words[0] == "pip":
        return None if words[-1].startswith("edgekd") else f"{command}: installs something else"
    if words[0].startswith("."):
        return None if (root / words[0]).is_file() else f"{words[0]} is not there"
    if words[:1] == ["edgekd"]:
        words = [sys.executable, "-m", *words]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    else:
        return f"{command}: this test does not know how to run {words[0]}"
    if command in CHEAP:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
        return f"{command}: exit {done.returncode}: {done.stderr}" if done.returncode else None
    verb = words[:4]
    done = subprocess.run([*verb, "--help"], cwd=root, capture_output=True, text=True, check=False)
    absent = [word for word in words[4:] if word.startswith("-") and word not in done.stdout]
    return f"{command}: exit {done.returncode}, no option {absent}" if done.returncode or absent else None


@pytest.mark.parametrize(
    "command", sorted({command for name in DOCUMENTS for command in commands((ROOT / name).read_text())})
)
def test_documented_commands_run(command: str, root: Path) -> None:
    assert wrong(command, root) is None


@pytest.mark.parametrize(
    "command", ["make coffee", "edgekd brew", "edgekd run x --sett a=b", "pip install torch", "./gone", "npm install"]
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
    (tree,) = blocks((root / "README.md").read_text(), "tree")
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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str, root: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (root / name).read_text())
    assert [link for link in links if not (root / link).exists()] == []


def test_the_layers_in_contributing_are_the_contracts(root: Path) -> None:
    layers = re.search(r"^layers = \[\n(.*?)^\]", (root / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert layers
    declared = re.findall(r'^  "(.*)",$', layers.group(1), re.MULTILINE)
    shown = next(
        block for block in blocks((root / "CONTRIBUTING.md").read_text(), "") if block.startswith("agent | cli\n")
    )
    assert shown.splitlines() == declared
