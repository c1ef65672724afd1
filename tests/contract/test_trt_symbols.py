"""Every TensorRT name that the backends use exists in each TensorRT from 10.3 to 11.4.

The table beside this test was made by importing the published Python bindings of each version (wheels
``tensorrt-cu12-bindings`` and ``tensorrt-cu13-bindings``) and listing their classes; it contains the names that edgekd
uses. A binding that is installed here is checked as well.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

TABLE = json.loads(Path(__file__).with_name("trt_symbols.json").read_text())
# Variables that hold an object of a TensorRT class.
CLASSES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "error": "ParserError",
    "inspector": "EngineInspector",
    "layer": "ILayer",
    "network": "INetworkDefinition",
    "opened": "ICudaEngine",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "tensor": "ITensor",
}
NOT_TENSORRT = {"engine.name", "engine.read_bytes", "engine.resolve", "engine.write_bytes"}  # "engine" is a path
UNLISTED = {
    "__version__",
    "__name__",
    "ILogger.__init__",
    "IProfiler.__init__",
    "ITensor.name",
}  # the table's lists lack such names


def _chain(node: ast.expr) -> list[str]:
    """a.b.c → ["a", "b", "c"]; a call's result is "?"."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    return ["?"]


def _trees(root: Path) -> list[ast.Module]:
    """Return the backends' files that TensorRT runs: they import it as ``trt`` or take it as the argument ``trt``."""
    trees = []
    for path in sorted((root / "edgekd/backends").glob("*.py")):
        tree = ast.parse(path.read_text())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        takes = any(node.arg == "trt" for node in ast.walk(tree) if isinstance(node, ast.arg))
        if "tensorrt" in imported or (takes and "tensorrt_rtx" not in imported):
            trees.append(tree)
    return trees


def _used(root: Path) -> set[str]:
    """Return each "Class.member" or top-level name that the files use."""
    used: set[str] = set()
    for tree in _trees(root):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            first, *rest = [part for part in _chain(node) if part != "self"]
            name = first.removeprefix("_")
            if first == "trt" and rest[0].startswith("__"):
                continue
            if first == "trt" and len(rest) == 1:
                used.add(rest[0])
            elif first == "trt" and len(rest) == 2:
                used.add(".".join(rest))
            elif name in CLASSES and rest and f"{name}.{rest[0]}" not in NOT_TENSORRT:
                used.add(f"{CLASSES[name]}.{rest[0]}")
    return used - UNLISTED


def test_shared_files_and_the_tensorrt_backend_are_found(root: Path) -> None:
    docstrings = [ast.get_docstring(tree) or "" for tree in _trees(root)]
    assert len(docstrings) >= 4
    assert all("TensorRT" in text for text in docstrings)


def test_table_contains_what_the_files_use_and_no_more(root: Path) -> None:
    assert _used(root) == set(TABLE["symbols"])


@pytest.mark.parametrize("version", TABLE["versions"])
def test_every_symbol_exists_in(version: str) -> None:
    assert [name for name, versions in TABLE["symbols"].items() if version not in versions] == []


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt_rtx"])
def test_every_symbol_exists_in_the_binding_installed_here(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed here")
    binding = importlib.import_module(library)
    assert [name for name in TABLE["symbols"] if not _has(binding, name.split("."))] == []


def _has(thing: Any, path: list[str]) -> bool:
    return not path or (hasattr(thing, path[0]) and _has(getattr(thing, path[0]), path[1:]))
