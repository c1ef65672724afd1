"""Results of every ONNX file in a folder: a Markdown table, one line a network.

usage: python benchmarks/foreign.py FOLDER -o runs/foreign > benchmarks/foreign.md

Each goes through ``edgekd run``; a network that was run before is not run again. A network that is refused stands in
the table with the reason.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

from edgekd.core.artifact import read_artifact
from edgekd.report.conditions import conditions_line
from edgekd.results.result import BenchmarkResult, EngineRow, read_result

_HEADS = ("network", "imported as", "FP32 ms", "FP16 ms", "INT8 ms", "INT8 SNR dB", "TensorRT-RTX: FP32, FP16, INT8")
_SCHEMES = ("fp32", "fp16", "int8")
_LONG = 110
_INTRO = """# Foreign networks

Results of {count} ONNX files from other projects' exporters, measured by `python benchmarks/foreign.py FOLDER`, {date}.
Latency is p50 on onnxruntime's CPU provider, {conditions}. INT8 was calibrated on edgekd's own photographs, fed as 0..1
because the preprocessing of these networks is unknown: its SNR (against FP32, on the same photographs) shows what such
a calibration gives, not what the network can reach. Q/DQ nodes are placed where TensorRT fuses them, which
onnxruntime's CPU kernels mostly do not: INT8 is no gain there. A network whose input is not an image is not calibrated
on random numbers. The error of an output that is a probability is relative to a full scale of 1.

TensorRT-RTX shows that TensorRT's parser and strongly-typed builder accept the graph. Its engines do not run on a
Jetson.

"""


def line(path: Path, out: Path) -> str:
    """Run one network and return its line of the table."""
    command = [sys.executable, "-m", "edgekd", "run", str(path), "-o", str(out), "--quiet", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1].removeprefix("edgekd: ")
        return f"| {path.stem} | refused (exit {done.returncode}): {reason} | | | | | |"
    result = read_result(out / "result.json")
    p50 = {candidate.precision: f"{candidate.percentile_ms(50):.3g}" for candidate in result.candidates}
    imported = str(read_artifact(out / "model" / "imported.onnx").facts["summary"])
    cells = [path.stem, imported.rpartition(", outputs")[0].replace(" (--dim NAME=SIZE to change)", "")]
    cells += [p50.get(scheme, _why_not(result, scheme)) for scheme in _SCHEMES]
    cells += [_snr(out / "model" / "int8.onnx"), ", ".join(_accepted(result, scheme) for scheme in _SCHEMES)]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _why_not(result: BenchmarkResult, scheme: str) -> str:
    note = next((note for note in result.notes if note.startswith(f"model/{scheme} ")), "no engine")
    return note.partition("was not made: ")[2].partition(":")[0] or note


def _snr(path: Path) -> str:
    if not path.exists():
        return ""
    figures = [entry["snr_db"] for entry in read_artifact(path).facts["difference"].values()]
    return f"{min(figure for figure in figures if figure is not None):.1f}"


def _accepted(result: BenchmarkResult, scheme: str) -> str:
    row = next((r for r in result.engines if (r.candidate, r.backend) == (f"model/{scheme}", "tensorrt_rtx")), None)
    if row is None:
        return "–"
    return _counts(row, scheme) if row.ok else f"refused ({_words(row.summary)})"


def _counts(row: EngineRow, scheme: str) -> str:
    if scheme == "int8":
        return f"{row.facts['int8_convolutions']} of {row.facts['engine_convolutions']} convolutions INT8"
    return "yes"


def _words(text: str) -> str:
    text = re.sub(r"^TensorRT's (parser|builder) refuses \S+ ", r"\1: ", text)
    return text if len(text) <= _LONG else text[:_LONG].rpartition(" ")[0] + " …"


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/foreign"))
    parser.add_argument("--date", default=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat())
    args = parser.parse_args()
    rows = [line(path, args.output / path.stem) for path in sorted(args.folder.glob("*.onnx"))]
    measured = next(iter(sorted(args.output.glob("*/result.json"))), None)
    conditions = conditions_line(read_result(measured)) if measured else "nothing measured"
    sys.stdout.write(_INTRO.format(count=len(rows), date=args.date, conditions=conditions))
    text = [f"| {' | '.join(_HEADS)} |", "|---|---|--:|--:|--:|--:|---|", *rows]
    sys.stdout.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
