"""PSNR and SSIM of a super-resolution pair on whole pictures of your own, beside bicubic: the table of its model card.

usage: python benchmarks/quality.py models/edsr_from_edsr --data FOLDER [--json]

The networks run in torch, float32, on whole pictures; Y channel, ``scale`` pixels cut from each border.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekd.checkpoint import load_weights, network
from edgekd.core.recipe import find_recipe, load_recipe
from edgekd.core.sections import ROLES
from edgekd.datasets._pictures import read_pictures
from edgekd.tasks import super_resolution as task


def measure(pair: str, folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return picture → method → metric → value, the mean last."""
    recipe_path = find_recipe(pair)
    recipe = load_recipe(recipe_path)
    assert recipe.pair is not None
    nets = {
        role: load_weights(network(recipe_path.parent, role), recipe_path.parent / getattr(recipe.pair, role))
        for role in ROLES
    }
    table: dict[str, dict[str, dict[str, float]]] = {}
    for path, picture in read_pictures(folder):
        low, truth = task.degrade(picture, recipe.task)
        outputs: dict[str, Any] = {"bicubic": task.baseline(low, recipe.task)}
        for role, net in nets.items():
            with torch.no_grad():
                found = net(torch.from_numpy(task.preprocess(low, recipe.task)[None]))[0].numpy()
            outputs[role] = task.postprocess(found, recipe.task)
        table[path.stem] = {name: task.metric(output, truth, recipe.task) for name, output in outputs.items()}
    mean = {
        name: {key: float(np.mean([row[name][key] for row in table.values()])) for key in task.METRICS}
        for name in ("bicubic", *ROLES)
    }
    return {**table, "mean": mean}


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    table = measure(args.pair, args.data)
    if args.json:
        sys.stdout.write(json.dumps(table, indent=1) + "\n")
        return
    heads = ("picture", "bicubic", "teacher", "student", "teacher - bicubic", "student - bicubic")
    rows = [f"| {' | '.join(heads)} |", "|---|--:|--:|--:|--:|--:|"]
    for name, row in table.items():
        bicubic, teacher, student = (row[key] for key in ("bicubic", *ROLES))
        cells = [f"{entry['psnr_y_db']:.2f} / {entry['ssim_y']:.4f}" for entry in (bicubic, teacher, student)]
        gains = [f"{entry['psnr_y_db'] - bicubic['psnr_y_db']:+.2f}" for entry in (teacher, student)]
        rows.append(f"| {' | '.join([name, *cells, *gains])} |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
