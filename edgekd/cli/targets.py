"""List the boards edgekd knows: compute capability, memory, power modes, TensorRT."""

from __future__ import annotations

from dataclasses import asdict

import typer

from edgekd.cli._options import Json, print_json
from edgekd.core import family


def command(json_: Json = False) -> None:
    """List the boards edgekd knows: compute capability, memory, power modes, TensorRT."""
    targets = {name: family.load("targets", name).TARGET for name in family.names("targets")}
    if json_:
        print_json({name: asdict(target) | {"opset": target.opset} for name, target in targets.items()})
        return
    for name, target in targets.items():
        typer.echo(
            f"{name}  {target.title}: sm {target.sm}, {target.sms} SMs at {target.gpu_mhz:g} MHz, "
            f"{target.memory_gb:g} GB at {target.memory_gb_per_s:g} GB/s, {target.dla_cores} DLA\n"
            f"    JetPack {target.jetpack}, TensorRT {target.tensorrt[target.jetpack]}, ONNX opset {target.opset}; "
            f"modes {', '.join(target.power_modes)}"
        )
