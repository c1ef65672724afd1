"""The rules of the house as functions over syntax trees: each takes one file and says what in it crosses the rule."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FILE_LINES, FUNCTION_LINES, PARAMETERS = 400, 60, 6
CLOCK_ROOM = "edgekd/core/clock.py"
LIBRARY = ("edgekd/pipeline/library.py", "edgekd/pipeline/training.py")
DOORS = ("edgekd/agent.py", "edgekd/cli/__init__.py")
JUNK_DRAWER = re.compile(r"^_?(utils?|commons?|helpers?|misc|base|managers?|handlers?|tools?)$")
CLOCKS = re.compile(r"^(time|perf_counter|monotonic|process_time|thread_time|clock_gettime)(_ns)?$|^default_timer$")
ARRAYS = re.compile(r"\b(NDArray|ndarray|Tensor|Array|FloatArray)\b")
# Folders in which one file is one variant.
FAMILIES = "backends cli formats layouts methods preprocessing schemes sensors targets tasks".split()
# A shape: (N, C, H, W), (n,), (*leading, 3), () or (...).
SHAPE = re.compile(r"\((?:[\w*.]+,\s?[^()]*|\.\.\.|)\)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file.

    Attributes:
        name: Its path from the repository's root.
        text: What stands in it.
    """

    name: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


Rule = Callable[[Source], list[str]]


def sources(root: Path, folder: str = "edgekd") -> list[Source]:
    """Read every Python file of ``folder``."""
    paths = sorted((root / folder).rglob("*.py"))
    return [Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method."""
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def parameters(function: Function) -> list[ast.arg]:
    """List a function's parameters without self and cls."""
    a = function.args
    return [arg for arg in a.posonlyargs + a.args + a.kwonlyargs if arg.arg not in ("self", "cls")]


def file_size(source: Source) -> list[str]:
    lines = len(source.text.splitlines())
    return [f"{source.name} has {lines} lines, {FILE_LINES} are allowed"] if lines > FILE_LINES else []


def function_size(source: Source) -> list[str]:
    return [
        f"{source.name}:{f.lineno} {f.name} has {lines} lines, {FUNCTION_LINES} are allowed"
        for f in functions(source.tree)
        if (lines := (f.end_lineno or f.lineno) - f.lineno + 1) > FUNCTION_LINES
    ]


def parameter_count(source: Source) -> list[str]:
    # A command's parameters are its command line, which typer reads from the signature; a verb of the public library
    # has the same ones, by keyword.
    return [
        f"{source.name}:{f.lineno} {f.name} has {count} parameters, {PARAMETERS} are allowed; make a config of them"
        for f in functions(source.tree)
        if (count := len(parameters(f))) > PARAMETERS
        and not (source.name.startswith("edgekd/cli/") and f.name == "command")
        and not (source.name in LIBRARY and not f.name.startswith("_"))
    ]


def junk_drawer(source: Source) -> list[str]:
    parts = source.name.removesuffix(".py").split("/")
    return [
        f"{source.name}: {part!r} says nothing; find it a home by its noun" for part in parts if JUNK_DRAWER.match(part)
    ]


def docstrings(source: Source) -> list[str]:
    found = [] if ast.get_docstring(source.tree) else [f"{source.name} has no docstring"]

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            if not child.name.startswith("_"):
                if not ast.get_docstring(child):
                    found.append(f"{source.name}:{child.lineno} {child.name} has no docstring")
                if isinstance(child, ast.ClassDef):
                    visit(child)

    visit(source.tree)
    return found


def array_shapes(source: Source) -> list[str]:
    found = []
    for function in functions(source.tree):
        args = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", ast.get_docstring(function) or "", re.MULTILINE)
        for parameter in parameters(function) if args else ():
            if parameter.annotation is None or not ARRAYS.search(ast.unparse(parameter.annotation)):
                continue
            entry = re.search(rf"\b{parameter.arg}: (.*)", args.group(1)) if args else None
            if ast.unparse(parameter.annotation).startswith(("Mapping", "dict", "Sequence", "Callable", "list")):
                continue  # many arrays, of many shapes
            if entry is None or not re.search(r"\(.*\)|[Ss]ame shape", entry.group(1)):
                found.append(
                    f"{source.name}:{function.lineno} {function.name}: Args must say the shape of {parameter.arg}"
                )
    return found


def array_functions(source: Source) -> list[tuple[str, bool]]:
    """List the public functions that take or return arrays, and whether their docstring gives a shape."""
    found = []
    for name, function in _public_functions(source.tree):
        annotations = [parameter.annotation for parameter in parameters(function)] + [function.returns]
        if any(annotation is not None and ARRAYS.search(ast.unparse(annotation)) for annotation in annotations):
            has_shape = bool(SHAPE.search(ast.get_docstring(function) or ""))
            found.append((f"{source.name}:{function.lineno} {name}", has_shape))
    return found


def _public_functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public_functions(child, f"{child.name}.")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            yield f"{owner}{child.name}", child


def annotated(source: Source) -> list[str]:
    return [
        f"{source.name}:{f.lineno} {f.name} is not annotated throughout"
        for f in functions(source.tree)
        if f.returns is None or any(parameter.annotation is None for parameter in parameters(f))
    ]


def broad_excepts(source: Source) -> list[str]:
    broad = [
        f"{source.name}:{node.lineno} catches everything; only {' and '.join(DOORS)} may, once"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]
    return broad[1:] if source.name in DOORS else broad


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or ast.unparse(name).split(".")[-1] in ("Exception", "BaseException") for name in names)


def import_errors(source: Source) -> list[str]:
    allowed = (
        "edgekd/core/family.py",
        "edgekd/machine/doctor.py",
        "edgekd/networks/model_source.py",
        "edgekd/cli/doctor.py",
    )
    return [
        f"{source.name}:{node.lineno} hides a missing library; import it plainly in a file loaded through core.family"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is not None and source.name not in allowed
        if re.search(r"\b(ImportError|ModuleNotFoundError)\b", ast.unparse(node.type))
    ]


def clocks(source: Source) -> list[str]:
    if source.name == CLOCK_ROOM:
        return []
    found, modules = [], {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            modules |= {
                alias.asname or alias.name: node.lineno for alias in node.names if alias.name in ("time", "timeit")
            }
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "timeit"):
            found += [node.lineno for alias in node.names if CLOCKS.match(alias.name)]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found += [node.lineno] if CLOCKS.match(node.attr) else []
    return [f"{source.name}:{line} reads a clock; only {CLOCK_ROOM} does" for line in found]


def family_members(source: Source) -> list[str]:
    """Say where one member of a family imports another; what they share stands in a file with an underscore."""
    folder, _, name = source.module.rpartition(".")
    if folder.split(".")[-1] not in FAMILIES:
        return []
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith(folder):
            rest = (node.module or "").removeprefix(folder).strip(".")
            members = [rest.split(".")[0]] if rest else [alias.name for alias in node.names]
            found += [
                f"{source.name}:{node.lineno} imports its sibling {m}"
                for m in members
                if not m.startswith("_") and m != name
            ]
    return found


def raises(source: Source) -> list[tuple[str, bool]]:
    """List where an exception is raised with a text, and whether the text carries a value."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            value = any(
                isinstance(part, ast.FormattedValue) for part in ast.walk(node.exc)
            ) or ".among(" in ast.unparse(node.exc)
            found.append((f"{source.name}:{node.lineno}", value))
    return found


def imports(source: Source, modules: set[str]) -> set[str]:
    """Return the modules, among ``modules``, that a file imports when it is itself imported."""
    found: set[str] = set()
    pending: list[ast.AST] = list(source.tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in full}
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending += ast.iter_child_nodes(node)
    return (found & modules) - {source.module}


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that import themselves through others."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for below in graph.get(pending.pop(), ()):
                if below not in seen:
                    seen.add(below)
                    pending.append(below)
        return seen

    return sorted(module for module in graph if module in reachable(module))
