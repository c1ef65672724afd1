"""Describe any file edgekd writes or reads: ONNX, engine, samples, result, verdict, recipe, checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekd.cli._options import Json, print_json
from edgekd.core import family, units
from edgekd.core.artifact import manifest_path, read_artifact, sha256_of
from edgekd.core.errors import InputError
from edgekd.core.recipe import load_recipe
from edgekd.core.samples import SampleArchive
from edgekd.core.schema import to_plain
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline import library
from edgekd.pipeline.job import check_names
from edgekd.results.gate import Verdict

_LONG = 100  # characters of a fact that a terminal line holds
_NODES, _NAME = 10, 40  # of an ONNX file's nodes, and of their names


def command(
    file: Annotated[Path, typer.Argument(help="Any file that edgekd reads or writes.")],
    json_: Json = False,
) -> None:
    """Describe any file edgekd writes or reads, from its manifest or from the file itself."""
    if not file.is_file():
        problem = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(f"{file} {problem}; a file that edgekd wrote, an ONNX file or a recipe was expected")
    if file.suffix == ".json" and file.with_suffix("").is_file():
        file = file.with_suffix("")  # a manifest: show what it belongs to
    if file.suffix == ".json" and not json_:
        loaded, terminal = library.load(file), family.load("report.formats", "terminal")
        text = terminal.render_verdict(loaded) if isinstance(loaded, Verdict) else terminal.render(loaded, None)
        typer.echo(text, nl=False)
        return
    found = describe(file)
    if json_:
        print_json(found)
        return
    by_node = found.pop("node_costs", [])
    for line in (*_lines(found), *_costliest(by_node)):
        typer.echo(line)


def describe(file: Path) -> dict[str, Any]:
    """Return what is known of a file as plain data.

    Raises:
        InputError: It is not a file that edgekd reads, or is broken.
    """
    about: dict[str, Any] = {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256_of(file)}
    if file.suffix == ".toml":
        recipe = load_recipe(file)
        check_names(recipe)
        return about | {"kind": "recipe", **to_plain(recipe)}
    if file.suffix == ".json":
        loaded = library.load(file)
        return about | {"kind": "verdict" if isinstance(loaded, Verdict) else "result", **to_plain(loaded)}
    if manifest_path(file).exists():
        artifact = read_artifact(file)
        about |= {
            "kind": artifact.kind,
            "inputs": [str(spec) for spec in artifact.inputs],
            "outputs": [str(spec) for spec in artifact.outputs],
            "made_by": to_plain(artifact.made_by),
            "network": to_plain(artifact.network),
            "facts": dict(artifact.facts),
        }
        return about | (_costs(file, artifact.inputs)[1] if artifact.kind == "onnx" else {})
    if file.suffix == ".npz":
        samples = SampleArchive(file)
        shapes = {name: list(array.shape) for name, array in samples[0].feeds.items()}
        described = {"source": samples.source, "origin": samples.origin, "inputs": shapes, "names": list(samples.names)}
        return about | {"kind": "samples", **described}
    if file.suffix == ".onnx":
        return about | {"kind": "onnx, given (no manifest)", **_onnx(file)}
    if file.suffix in (".safetensors", ".pt", ".pth"):
        return about | {"kind": "checkpoint", **_checkpoint(file)}
    raise InputError(
        f"{file} has no manifest, and {file.suffix or 'no suffix'!r} is not one that edgekd reads; "
        "an .onnx, .npz, .toml, .safetensors, .pt, result .json, or a file with its manifest was expected"
    )


def _onnx(file: Path) -> dict[str, Any]:
    graph = family.load_module("edgekd.graph.model")
    model = graph.load_onnx(file)
    inputs, outputs = graph.specs(model)
    total, by_node = _costs(file, inputs)
    return {
        "inputs": [str(spec) for spec in inputs],
        "outputs": [str(spec) for spec in outputs],
        "opset": graph.opset_of(model),
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        **total,
        **by_node,
    }


def _costs(file: Path, inputs: Sequence[TensorSpec]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Count an ONNX file: all of it, and node by node in its order."""
    model, cost = family.load_module("edgekd.graph.model").load_onnx(file), family.load_module("edgekd.graph.cost")
    by_node = [asdict(node) for node in cost.node_costs(model, inputs)]
    return {"cost": asdict(cost.cost_of(model, inputs))}, {"node_costs": by_node}


def _checkpoint(file: Path) -> dict[str, Any]:
    state = family.load_module("edgekd.networks.checkpoint").read_state(file)
    parameters = sum(tensor.numel() for tensor in state.values())
    tensors = {
        name: f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for name, tensor in state.items()
    }
    return {"parameters": parameters, "tensors": tensors}


def _costliest(by_node: Sequence[Mapping[str, Any]]) -> list[str]:
    """Make a table of the nodes with most MACs; --json has them all."""
    chosen = sorted((node for node in by_node if node["macs"]), key=lambda node: -node["macs"])[:_NODES]
    if not chosen:
        return []
    whole = sum(node["macs"] for node in by_node)
    heads = ("node", "operator", "MACs", "share", "params", "MiB moved", "FLOPs/byte")
    rows = [
        (
            *(_text(node["name"], _NAME), node["op"], units.count(node["macs"]), f"{100 * node['macs'] / whole:.1f} %"),
            *(units.count(node["parameters"]), units.mib(node["bytes_moved"]), f"{node['intensity']:.3g}"),
        )
        for node in chosen
    ]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    lines = [
        "  ".join(cells[i].ljust(wide) if i < 2 else cells[i].rjust(wide) for i, wide in enumerate(widths))
        for cells in (heads, *rows)
    ]
    of = f"the {len(chosen)} costliest of {len(by_node)} nodes; --json has all" if len(by_node) > len(chosen) else ""
    return ["", *lines, *filter(None, [of])]


def _lines(found: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in found.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            text = f"{units.mib(value)} MiB" if key == "bytes" else _text(value)
            lines.append(f"{indent}{key:<16} {text}")
    return lines


def _text(value: Any, most: int = _LONG) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= most else text[: most - 1] + "…"
