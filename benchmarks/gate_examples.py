"""Measure the examples of ``edgekd gate``: a baseline, and four results that it judges with exit code 0, 1, 4 and 5.

    python benchmarks/gate_examples.py

All are real: a network of eight convolutions timed twice (accepted.json, pass.json), one of nine (regress.json), the
nine again in two processes, too few to decide (inconclusive.json), and the eight with other threads (unlike.json).
Run it on a machine that does nothing else; it reports a verdict that is not the one its file should show.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reference_workload import Layer, network
from edgekd.cli import _run as edgekd

FOLDER = Path(__file__).resolve().parent / "gate"
LIMITS = FOLDER / "limits.toml"
# File → exit code of `edgekd gate`, how many convolutions the network has, how it was timed.
EXAMPLES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "pass": (0, 8, ()),
    "regress": (1, 9, ()),
    "inconclusive": (4, 9, ("bench.processes=2",)),
    "unlike": (5, 8, ("bench.threads=2",)),
}


def words(name: str) -> list[str]:
    """Return the command line that judges an example."""
    new, accepted = (str(FOLDER / f"{of}.json") for of in (name, "accepted"))
    return ["gate", new, "--baseline", accepted, "--limits", str(LIMITS)]


def main() -> int:
    """Measure all five; return 0 where every verdict is the expected one."""
    _measure("accepted", 8, ())
    wrong = 0
    for name, (expected, layers, sets) in EXAMPLES.items():
        _measure(name, layers, sets)
        found = edgekd(words(name))
        if found != expected:
            wrong += 1
            print(f"{name}.json gives exit code {found}, {expected} was expected: measure again on a quiet machine")
    return 1 if wrong else 0


def _measure(name: str, layers: int, sets: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        onnx, engine = Path(folder) / "net.onnx", Path(folder) / "net.engine"
        chain = [Layer(3, 3, 16), *[Layer(3, 16, 16)] * (layers - 1)]
        onnx.write_bytes(network(chain, (1, 16, 96, 96)).SerializeToString())
        quick = ("bench.threads=1", "bench.min_rounds=6", "bench.block_ms=20", "bench.ci_half_width=9", *sets)
        options = [word for text in quick for word in ("--set", text)]
        for command in (
            ["build", str(onnx), "-o", str(engine)],
            ["bench", str(engine), "-o", f"{folder}/{name}.json", "-q", *options],
        ):
            if code := edgekd(command):
                sys.exit(code)
        shutil.copy(f"{folder}/{name}.json", FOLDER)


if __name__ == "__main__":
    sys.exit(main())
