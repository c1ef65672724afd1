"""How long a second ``edgekd run`` takes when nothing has changed, and whether it imports torch.

    python benchmarks/rerun.py [SOURCE] [-o FOLDER] [--rounds 7] [--json]

The first run makes everything, unless FOLDER holds it already; it is not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgekd.core.clock import stopwatch

LIMIT_S = 1.0


def rerun_s(command: list[str]) -> float:
    """Run the command once more and return its wall time, seconds."""
    elapsed_s = stopwatch()
    subprocess.run(command, check=True, capture_output=True)
    return elapsed_s()


def imports(command: list[str]) -> set[str]:
    """Return the top-level modules that a ``python -m`` command imports."""
    traced = subprocess.run([command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True)
    lines = [line for line in traced.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def main() -> int:
    """Measure, print one line, and return 1 where the limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="edsr_from_edsr")
    parser.add_argument("-o", "--output", type=Path, help="a folder that holds, or will hold, the first run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = options.output or Path(scratch) / "run"
        command = [sys.executable, "-m", "edgekd", "run", options.source, "-o", str(out)]
        print(f"first run, not counted: {' '.join(command)}", file=sys.stderr)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls_s = [rerun_s(command) for _ in range(options.rounds)]
        torch = "torch" in imports(command)
    found = {
        "median_s": float(np.median(walls_s)), "worst_s": max(walls_s), "limit_s": LIMIT_S, "imports_torch": torch,
        "rounds": options.rounds, "source": options.source,
    }  # fmt: skip
    line = (
        f"edgekd run {options.source}, nothing changed: median {found['median_s']:.2f} s, "
        f"worst of {options.rounds} {found['worst_s']:.2f} s, limit {LIMIT_S} s; "
        f"torch {'is' if torch else 'is not'} imported"
    )
    print(json.dumps(found) if options.json else line)
    return 0 if found["median_s"] <= LIMIT_S and not torch else 1


if __name__ == "__main__":
    sys.exit(main())
