"""Put a made-up haze into photographs, to have hazy pictures whose clear ones may be shipped.

usage: python benchmarks/haze.py PHOTOGRAPHS OUT
The shipped ones: PHOTOGRAPHS = models/edsr_from_edsr/pictures/evaluation,
OUT = models/dpte_net_from_edn_gtm/pictures/evaluation.

I = J t + A (1 - t) with t = exp(-beta d): the atmospheric scattering model (E. McCartney, 1976; S. Narasimhan and
S. Nayar, IJCV 2002). The depth d is made up: it grows towards the upper edge, with soft hills. Nothing is random but by
the pictures' order, so the same photographs give the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.datasets.pictures import read_pictures, write_picture

EDGE = 192  # pixels: the middle of each photograph
BETA = (0.4, 1.0)  # thin to dense: at d = 1.4 half to a quarter of the light is left
AIRLIGHT = (0.82, 0.95)
_HILLS = 4  # of them a side


def depth(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make up a smooth depth, (height, width) float64, some 0.2 (near, below) to 1.4 (far, above)."""
    rough = rng.random((_HILLS, _HILLS)).astype(np.float32)
    hills = np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return 0.2 + 0.8 * np.linspace(1, 0, height)[:, None] + 0.4 * np.clip(hills, 0, 1)


def hazy(clear: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put haze into a picture, (H, W, 3) uint8."""
    high, wide = clear.shape[:2]
    transmission = np.exp(-rng.uniform(*BETA) * depth(high, wide, rng))[..., None]
    airlight = rng.uniform(*AIRLIGHT) + np.array([-0.01, 0.0, 0.01])  # a little bluish, as haze by day is
    mixed = clear / 255.0 * transmission + airlight * (1 - transmission)
    rounded: NDArray[np.uint8] = np.round(255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    return rounded


def main() -> None:
    """Write ``hazy/`` and ``gt/`` for every photograph of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    for name in ("hazy", "gt"):
        (args.out / name).mkdir(parents=True, exist_ok=True)
    for index, (path, photograph) in enumerate(read_pictures(args.photographs)):
        top, left = ((size - EDGE) // 2 for size in photograph.shape[:2])
        clear = photograph[top : top + EDGE, left : left + EDGE]
        scene = f"{path.stem.replace('_', '-')}.png"  # what stands before an underscore names a scene
        write_picture(clear, args.out / "gt" / scene)
        write_picture(hazy(clear, np.random.default_rng(index)), args.out / "hazy" / scene)


if __name__ == "__main__":
    main()
