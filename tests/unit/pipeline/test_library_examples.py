"""The example in each verb's docstring runs as it stands, in a folder that holds ``net.onnx`` and the pair ``pair``."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import edgekd
from tests.pipeline.tiny import tiny_onnx, tiny_pair

VERBS = sorted(set(edgekd.__all__) - {"__version__"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_onnx(tmp_path / "net.onnx")
    tiny_pair(tmp_path / "pair")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def example_of(verb: str) -> doctest.DocTest:
    """Parse a verb's docstring, below its heading "Example:"."""
    text = getattr(importlib.import_module("edgekd.pipeline.library"), verb).__doc__ or ""
    _, heading, body = text.partition("    Example:\n")
    assert heading, f"{verb} has no example"
    return doctest.DocTestParser().get_doctest(body, {"edgekd": edgekd}, verb, None, None)


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_runs_and_gives_what_it_shows(verb: str, folder: Path) -> None:
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example_of(verb), out=report.append)
    assert results.failed == 0, "".join(report)
    assert results.attempted > 0


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_is_of_its_verb_skips_nothing_and_shows_a_result(verb: str) -> None:
    examples = example_of(verb).examples
    assert any(f"edgekd.{verb}(" in example.source for example in examples)
    assert examples[-1].want
    assert not any(example.options for example in examples)


def test_an_example_that_shows_another_result_is_found(folder: Path) -> None:
    wrong = doctest.DocTestParser().get_doctest(
        ">>> edgekd.load('pair/recipe.toml').pair.task\n'dehazing'\n", {"edgekd": edgekd}, "wrong", None, None
    )
    report: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=report.append).failed == 1
    assert "'super_resolution'" in "".join(report)
