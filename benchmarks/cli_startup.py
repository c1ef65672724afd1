"""How long ``edgekd --help`` takes beside the ``--help`` of a bare two-command typer app.

    python benchmarks/cli_startup.py [--rounds 20] [--json]

Both are whole processes of this interpreter, interleaved in balanced order (A B, B A, ...). The figure is the median
ratio of their wall times, with its 95 % interval over rounds.
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
from edgekd.results.compare import ratio as ratio_of

LIMIT = 1.3
_WARMUP = 3  # the first starts fill the disk cache and write bytecode

BARE = '''
import typer

app = typer.Typer()

@app.command()
def one(name: str) -> None:
    """Do one thing."""

@app.command()
def two(name: str, much: bool = False) -> None:
    """Do another."""

app()
'''


def wall_ms(command: list[str]) -> float:
    """Run a command to its end and return how long it took, milliseconds."""
    elapsed_s = stopwatch()
    subprocess.run(command, check=True, capture_output=True)
    return elapsed_s() * 1e3


def compare(ours: list[str], theirs: list[str], rounds: int) -> tuple[list[float], list[float]]:
    """Time two commands interleaved; return (ours_ms, theirs_ms), one figure a round."""
    ours_ms: list[float] = []
    theirs_ms: list[float] = []
    for turn in range(_WARMUP + rounds):
        pair = [(ours, ours_ms), (theirs, theirs_ms)]
        for command, samples in pair if turn % 2 else reversed(pair):
            samples.append(wall_ms(command))
    return ours_ms[_WARMUP:], theirs_ms[_WARMUP:]


def main() -> int:
    """Measure, print one line, and return 1 where the limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        ours = [sys.executable, "-m", "edgekd", "--help"]
        ours_ms, bare_ms = compare(ours, [sys.executable, str(bare), "--help"], options.rounds)
    ratio, low, high = ratio_of([np.array(ours_ms)], [np.array(bare_ms)], paired=True)
    found = {
        "ratio": ratio, "interval": [low, high], "limit": LIMIT,
        "edgekd_ms": float(np.median(ours_ms)), "bare_ms": float(np.median(bare_ms)), "rounds": options.rounds,
    }  # fmt: skip
    line = (
        f"edgekd --help {found['edgekd_ms']:.0f} ms, a bare typer app {found['bare_ms']:.0f} ms: "
        f"{ratio:.2f}x [{low:.2f}, {high:.2f}], limit {LIMIT}x"
    )
    print(json.dumps(found) if options.json else line)
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
