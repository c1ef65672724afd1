"""Everything that needs an NVIDIA GPU: tests/gpu, then engines checked and timed, each in a process of its own.

``python benchmarks/gpu/run.py --out FOLDER [--onnx FILE ...]`` writes ``FOLDER/gpu.json``. FILE is an ONNX file that
edgekd made (its manifest lies beside it). Times are the device's own, by events. Exit codes: 0 every engine that could
be tried agrees with onnxruntime, 1 one does not or a test failed, 3 this machine has no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edgekd.backends._driver import require_driver  # noqa: E402
from edgekd.core import family  # noqa: E402
from edgekd.core.artifact import read_artifact, write_atomic  # noqa: E402
from edgekd.core.errors import EdgeKDError, MachineError  # noqa: E402
from edgekd.core.numerics import difference, percentile  # noqa: E402
from edgekd.core.protocols import Array  # noqa: E402
from edgekd.core.tensor import TensorSpec  # noqa: E402
from tests.unit.backends import tiny  # noqa: E402

BACKENDS = ("tensorrt", "tensorrt_rtx")
WARMUP, RUNS = 20, 200
MIN_SNR_DB = 30.0  # FP16 gives about 60, INT8 with the same Q/DQ on both sides more than 35
TIMEOUT_S = 300


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], help="ONNX files made by edgekd")
    parser.add_argument("--one", nargs=2, metavar=("BACKEND", "ONNX"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        require_driver("benchmarks/gpu")
    except MachineError as err:
        print(err, file=sys.stderr)
        return err.exit_code
    if options.one:
        print(json.dumps(_one(options.one[0], Path(options.one[1]))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tests = _tests()
        engines = _engines([*_tiny_networks(Path(folder)), *options.onnx], options.out)
    write_atomic(options.out / "gpu.json", json.dumps({"tests": tests, "engines": engines}, indent=1) + "\n")
    for engine in engines:
        print(f"RESULT {engine['backend']} {engine['network']}: {engine['verdict']}; {engine['summary']}")
    good = tests["exit_code"] == 0 and all(engine["verdict"] != "wrong" for engine in engines)
    return 0 if good else 1


def _tests() -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout[-4000:])
    return {"exit_code": done.returncode, "output": done.stdout[-8000:]}


def _engines(networks: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Try every backend on every network, each pair in a process of its own: a crash is a line, not the end."""
    results = []
    for backend in BACKENDS:
        for network in networks:
            command = [sys.executable, __file__, "--out", str(out), "--one", backend, str(network)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
                answer = json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                answer = {"verdict": "wrong", "summary": f"no answer in {TIMEOUT_S} s"}
            except (IndexError, ValueError):
                words = " ".join(done.stderr.split())[-400:]
                answer = {"verdict": "wrong", "summary": f"died with exit code {done.returncode}: {words}"}
            results.append({"backend": backend, "network": network.name, **answer})
    return results


def _tiny_networks(folder: Path) -> list[Path]:
    return [
        tiny.write_conv(folder / "tiny_fp32.onnx"),
        tiny.write_conv(folder / "tiny_fp16.onnx", dtype="float16"),
        tiny.write_int8_conv(folder / "tiny_int8.onnx"),
    ]


def _one(name: str, onnx: Path) -> dict[str, Any]:
    """Build, check and time one network with one backend."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            backend = family.load("backends", name).BACKEND
            expected, inputs = _reference(onnx, Path(folder))
            report = backend.build(onnx, inputs, Path(folder) / "engine")
            session = backend.open(Path(folder) / "engine")
        except EdgeKDError as err:
            return {"verdict": "refused", "summary": str(err)}
        feeds = _feeds(inputs)
        found = session.run(feeds)
        snr_db = min(difference(found[key], expected[key]).snr_db for key in expected)
        times = [session.run_timed(feeds) for _ in range(WARMUP + RUNS)][WARMUP:]
        compute_ms = [time.gpu_compute_ms for time in times]
        session.close()
    p50_ms = percentile(compute_ms, 50)
    return {
        "verdict": "agrees" if snr_db >= MIN_SNR_DB else "wrong",
        "summary": f"{min(snr_db, 999):.0f} dB to onnxruntime; GPU p50 {p50_ms:.4f} ms; {report.summary}",
        "snr_db": min(snr_db, 999.0),
        "facts": dict(report.facts),
        "h2d_ms": [time.h2d_ms for time in times],
        "gpu_compute_ms": compute_ms,
        "d2h_ms": [time.d2h_ms for time in times],
    }


def _reference(onnx: Path, folder: Path) -> tuple[dict[str, Array], tuple[TensorSpec, ...]]:
    """Return what onnxruntime computes, and the network's inputs."""
    backend = family.load("backends", "onnxruntime").BACKEND
    backend.build(onnx, (), folder / "reference.onnx")
    session = backend.open(folder / "reference.onnx")
    inputs = read_artifact(onnx).inputs if onnx.with_name(onnx.name + ".json").exists() else session.inputs
    return session.run(_feeds(inputs)), inputs


def _feeds(inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {spec.name: rng.random(spec.at("opt"), np.float32).astype(spec.dtype) for spec in inputs}


if __name__ == "__main__":
    raise SystemExit(main())
