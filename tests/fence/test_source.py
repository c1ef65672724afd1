"""Sizes, names, docstrings, clocks, excepts: every rule holds in the house, and every rule finds what crosses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fence import source as rules
from tests.fence.source import Rule, Source

LONG = "def f() -> None:\n" + "    x = 1\n" * 60

CROSSINGS: list[tuple[Rule, str, str]] = [
    (rules.file_size, "edgekd/a.py", "x = 1\n" * 401),
    (rules.function_size, "edgekd/a.py", LONG),
    (rules.parameter_count, "edgekd/a.py", "def f(a, b, c, d, *, e, f, g): ..."),
    (rules.junk_drawer, "edgekd/core/utils.py", ""),
    (rules.junk_drawer, "edgekd/common/paths.py", ""),
    (rules.docstrings, "edgekd/a.py", "x = 1"),
    (rules.docstrings, "edgekd/a.py", '"""A."""\ndef f(): ...'),
    (rules.docstrings, "edgekd/a.py", '"""A."""\nclass A:\n    """A."""\n    def f(self): ...'),
    (rules.array_shapes, "edgekd/a.py", 'def f(x: Tensor):\n    """F.\n\n    Args:\n        x: An image.\n    """'),
    (rules.array_shapes, "edgekd/a.py", 'def f(x: Tensor):\n    """F.\n\n    Args:\n        y: (N,) int64.\n    """'),
    (rules.annotated, "edgekd/a.py", "def f(x): ..."),
    (rules.annotated, "edgekd/a.py", "def f(x: int): ..."),
    (rules.broad_excepts, "edgekd/a.py", "try: f()\nexcept Exception: pass"),
    (rules.broad_excepts, "edgekd/a.py", "try: f()\nexcept: pass"),
    (rules.broad_excepts, "edgekd/a.py", "try: f()\nexcept (OSError, builtins.BaseException): pass"),
    (rules.broad_excepts, "edgekd/agent.py", "try: f()\nexcept Exception: pass\ntry: f()\nexcept Exception: pass"),
    (rules.import_errors, "edgekd/a.py", "try:\n    import torch\nexcept ImportError:\n    torch = None"),
    (rules.import_errors, "edgekd/a.py", "try:\n    import torch\nexcept (OSError, ModuleNotFoundError):\n    pass"),
    (rules.clocks, "edgekd/a.py", "import time\ntime.perf_counter()"),
    (rules.clocks, "edgekd/a.py", "def f():\n    import time as t\n    return t.monotonic_ns"),
    (rules.clocks, "edgekd/bench/suite.py", "from time import perf_counter_ns as now"),
    (rules.clocks, "edgekd/a.py", "from timeit import default_timer"),
    (rules.family_members, "edgekd/backends/tensorrt.py", "from edgekd.backends.null import BACKEND"),
    (rules.family_members, "edgekd/backends/tensorrt.py", "from edgekd.backends import _trt, null"),
]
RULES = sorted({rule for rule, _, _ in CROSSINGS}, key=lambda rule: rule.__name__)


@pytest.fixture(scope="module")
def house(root: Path) -> list[Source]:
    found = rules.sources(root)
    assert len(found) > 50, "the fences must see the house"
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule, house: list[Source]) -> None:
    assert [line for source in house for line in rule(source)] == []


@pytest.mark.parametrize(("rule", "name", "text"), CROSSINGS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_finds_what_crosses_it(rule: Rule, name: str, text: str) -> None:
    assert len(rule(Source(name, text))) == 1


ALLOWED: list[tuple[Rule, str, str]] = [
    (rules.function_size, "edgekd/a.py", LONG.replace("    x = 1\n", "", 1)),
    (rules.parameter_count, "edgekd/a.py", "class A:\n    def f(self, a, b, c, d, e, f): ..."),
    (
        rules.array_shapes,
        "edgekd/a.py",
        'def f(x: Tensor):\n    """F.\n\n    Args:\n        x: (N, C) float32.\n    """',
    ),
    (rules.array_shapes, "edgekd/a.py", 'def f(x: Tensor):\n    """(N, C) → (N,)."""'),
    (rules.broad_excepts, "edgekd/agent.py", "try: f()\nexcept Exception: pass"),
    (rules.clocks, "edgekd/core/clock.py", "import time\ntime.perf_counter()"),
    (rules.clocks, "edgekd/a.py", "import time\ntime.sleep(1)\nself.time()"),
    (rules.family_members, "edgekd/backends/tensorrt.py", "from edgekd.backends._trt import build"),
    (rules.docstrings, "edgekd/a.py", '"""A."""\ndef _f(): ...\ndef g():\n    """G."""\n    def inner(): ...'),
]


@pytest.mark.parametrize(("rule", "name", "text"), ALLOWED, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_lets_the_rest_pass(rule: Rule, name: str, text: str) -> None:
    assert rule(Source(name, text)) == []


def test_few_functions_are_long(house: list[Source]) -> None:
    every = [(f.end_lineno or f.lineno) - f.lineno + 1 for source in house for f in rules.functions(source.tree)]
    assert sum(lines > 40 for lines in every) < 0.03 * len(every)


def test_errors_carry_a_value(house: list[Source]) -> None:
    every = [found for source in house for found in rules.raises(source)]
    bare = [where for where, has_value in every if not has_value]
    assert len(bare) <= 0.2 * len(every), bare


def test_array_functions_give_shapes(house: list[Source]) -> None:
    every = [found for source in house for found in rules.array_functions(source)]
    bare = [where for where, has_shape in every if not has_shape]
    assert len(bare) <= 0.1 * len(every), bare


def test_what_counts_as_a_shape() -> None:
    text = 'def f(x: NDArray) -> int:\n    """Take (N, 3)."""\ndef g(x: Tensor) -> int:\n    """Take it (later)."""\n'
    assert rules.array_functions(Source("a.py", text)) == [("a.py:1 f", True), ("a.py:3 g", False)]


def test_what_counts_as_a_value() -> None:
    text = 'raise E(f"found {x}")\nraise E("no")\nraise E.among("task", x, y)\nraise\nraise x'
    assert rules.raises(Source("a.py", text)) == [("a.py:1", True), ("a.py:2", False), ("a.py:3", True)]


def _graph(house: list[Source]) -> dict[str, set[str]]:
    modules = {source.module for source in house}
    return {source.module: rules.imports(source, modules) for source in house}


def test_no_import_cycles(house: list[Source]) -> None:
    graph = _graph(house)
    assert "edgekd.core.errors" in graph["edgekd.core.artifact"]
    assert rules.cycles(graph) == []


def test_a_cycle_is_found_and_a_typing_import_is_none() -> None:
    a = Source("p/a.py", "from p import b")
    b = Source("p/b.py", "if x:\n    import p.c")
    c = Source("p/c.py", "from p.a import thing")
    assert rules.cycles(_graph([a, b, c])) == ["p.a", "p.b", "p.c"]
    typed = Source("p/c.py", "if TYPE_CHECKING:\n    from p.a import thing\ndef f():\n    import p.b")
    assert rules.cycles(_graph([a, b, typed])) == []
