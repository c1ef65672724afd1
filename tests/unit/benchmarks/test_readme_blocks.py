"""The measured tables in README.md and docs/results.md are what the kept result gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import readme
from edgekd.results.result import read_result

KEPT = Path("benchmarks") / "baselines" / "workstation" / "edsr_from_edsr.json"


@pytest.mark.parametrize(("document", "prefix", "short"), [("README.md", "", True), ("docs/results.md", "../", False)])
def test_a_block_is_what_the_generator_writes(root: Path, document: str, prefix: str, short: bool) -> None:
    text = (root / document).read_text()
    date = re.search(r"measured (\d{4}-\d\d-\d\d)", text)
    assert date
    assert readme.block(read_result(root / KEPT), date.group(1), f"{prefix}{KEPT}", short=short) in text


def test_the_short_block_has_every_candidate_and_fewer_columns(root: Path) -> None:
    result = read_result(root / KEPT)
    short, whole = (readme.block(result, "2026-11-22", "kept.json", short=of) for of in (True, False))
    heads = [next(line for line in text.splitlines() if line.startswith("| candidate")) for text in (short, whole)]
    assert heads[0].count("|") < heads[1].count("|")
    assert all(f"| {candidate.name} |" in short for candidate in result.candidates)


def test_a_block_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- results: a -->\nold\n<!-- /results -->\nafter\n")
    readme.replace_block(document, "a", r"new \1")
    assert document.read_text() == "before\n<!-- results: a -->\nnew \\1\n<!-- /results -->\nafter\n"


@pytest.mark.parametrize("text", ["no block", "<!-- results: a --> <!-- /results -->" * 2])
def test_a_document_needs_exactly_one_block(text: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="one was expected"):
        readme.replace_block(document, "a", "new")
    assert document.read_text() == text
