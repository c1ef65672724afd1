"""The house speaks the field's language: no word of the old private vocabulary stands in code, tests or recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# What a reader would stumble over → what a practitioner writes. The patterns are written in pieces, so that this file
# does not find itself.
PRIVATE = {
    r"\bEntr" + r"ants?\b|\bB" + r"outs?\b|\bSub" + r"ject\b(?=\()": "Candidate",
    r"\bW" + r"alk\b(?=\()|\bT" + r"old\b": "PipelineRun, Reporter",
    r"\bS" + r"een\b(?=\()|\bM" + r"oved\b(?=\()|\b[Bb]la" + r"mes?\b": "BlockReading, LayerChange, LayerDiff",
    r"yard" + r"stick": "reference workload",
    r"two_" + r"level\b": "hierarchical bootstrap",
    r"max_for" + r"eign_load|for" + r"eign_cores": "background load",
    r"\bTap" + r"Config\b|\bTap" + r"ped\b|\.tap" + r"s\b": "feature layers",
    r"embed_pre" + r"process": "include_preprocessing",
    r"\bado" + r"pt(ed|s|ion)?\b": "import",
    r"weigh" + r"(ing|ed|s)? (its|each|the|every)": "measure memory",
    r"doing with" + r"out a network": "no-network baseline",
    r"in tur" + r"ns\b": "interleaved",
    r"\bno" + r"tices?\b": "caveat",
    r"\bthe tru" + r"th\b": "the ground truth, the target",
}
# The reader of old files and recipes has to know the old names; GitHub's own word for an annotation is a "notice".
ALLOWED = (
    "edgekd/results/old_schemas.py",
    "edgekd/core/recipe.py",
    "edgekd/core/previews.py",
    "edgekd/report/formats/github.py",
    "tests/unit/results/test_old_schemas.py",
    "tests/unit/core/test_recipe.py",
    "tests/unit/core/test_previews.py",
    "tests/golden/",
    "tests/fence/test_readme.py",
    "tests/fence/test_words.py",
    "tests/unit/report/formats/test_machine_formats.py",
)
SUFFIXES = (".py", ".js", ".html", ".css", ".toml", ".yml")
FOLDERS = ("edgekd", "tests", "benchmarks", "models", ".github")


def private_words(name: str, text: str) -> list[str]:
    """List the private words in one file, with their lines and what to write."""
    if name.startswith(ALLOWED):
        return []
    found = []
    present = {pattern: plain for pattern, plain in PRIVATE.items() if re.search(pattern, text)}
    for number, line in enumerate(text.splitlines(), 1) if present else ():
        for pattern, plain in present.items():
            if match := re.search(pattern, line):
                found.append(f"{name}:{number} {match.group()!r}: write {plain}")
    return found


def test_no_private_word(root: Path) -> None:
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                found += private_words(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    "text", ["class Entr" + "ant:", "a yard" + "stick", "config.tap" + "s", "timed in tur" + "ns", "a no" + "tice"]
)
def test_a_private_word_is_found(text: str) -> None:
    assert private_words("edgekd/x.py", text)
    assert private_words(ALLOWED[0], text) == []
