"""A result with the shape of a real one, for the tests of compare and of every report format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekd.core.conditions import Conditions
from edgekd.core.samples import Samples
from edgekd.results.result import BenchmarkResult, Candidate, EngineRow, Run

CONDITIONS = Conditions(
    target="workstation",
    processor="Some CPU",
    backend="onnxruntime",
    libraries={"onnxruntime": "1.31.1"},
    threads=2,
    cores=2,
    batch=1,
    scenario="single_stream",
    clock="time.perf_counter_ns",
)
NOTICE = "not a Jetson engine"
_PARAMETERS = {"teacher": 1_370_000.0, "student": 199_000.0}
# role, precision, latency in ms, PSNR on Y in dB
_SPEC = (
    ("teacher", "fp32", 60.0, 37.9),
    ("teacher", "int8", 30.0, 37.1),
    ("student", "fp32", 12.0, 37.2),
    ("student", "fp16", 12.0, 37.2),
    ("student", "int8", 6.0, 36.9),
)


def candidate(
    role: str, precision: str, latency_ms: float, psnr: float, *, blocks: int = 12, seed: int = 0
) -> Candidate:
    """Make one candidate whose blocks scatter by 1 % around its latency."""
    noise = np.random.default_rng([seed, *f"{role}/{precision}".encode()]).normal(1, 0.01, (blocks, 5))
    runs = (Run(tuple(tuple(int(latency_ms * 1e6 * n) for n in block) for block in noise), 20),)
    return Candidate(
        name=f"{role}/{precision}",
        role=role,
        precision=precision,
        engine_sha256="ab" * 32,
        onnx_sha256="cd" * 32,
        inputs={"input": (1, 3, 64, 64)},
        runs=runs,
        cost={"parameters": _PARAMETERS.get(role, 1.0), "macs": _PARAMETERS.get(role, 1.0) * 16384},
        onnx_bytes=int(_PARAMETERS.get(role, 1.0) * {"fp32": 4, "fp16": 2, "int8": 1}[precision]),
        engine_bytes=1_000_000,
        peak_memory_bytes=100_000_000,
        idle_memory_bytes=50_000_000,
        accuracy={"psnr_y_db": psnr, "ssim_y": 0.95},
        accuracy_per_sample={"psnr_y_db": (psnr - 1, psnr + 1), "ssim_y": (0.94, 0.96)},
    )


def example(**changes: object) -> BenchmarkResult:
    """Make the whole result; ``changes`` are fields to replace."""
    candidates = tuple(candidate(*spec) for spec in _SPEC)
    facts = {"convolutions": 40, "engine_convolutions": 37, "int8_convolutions": 33}
    engines = tuple(
        EngineRow(
            c.name, "tensorrt_rtx", c.precision != "fp16", NOTICE, "52 layers", facts if c.precision == "int8" else {}
        )
        for c in candidates
    )
    result = BenchmarkResult(
        title="edsr_from_edsr",
        edgekd="0.1.0",
        conditions=CONDITIONS,
        candidates=candidates,
        engines=engines,
        baseline_accuracy={"psnr_y_db": 33.6},
        primary_metric="psnr_y_db",
        steps=("teacher: exported by dynamo, opset 17",),
        notes=("a busy machine",),
        baseline_per_sample={"psnr_y_db": (33.1, 34.1)},
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def agreeing() -> BenchmarkResult:
    """Make a result without truth: mean IoU and pixel accuracy against the first candidate's own labels."""
    shares = (1.0, 0.97, 0.84, 0.84, 0.81)
    candidates = tuple(
        replace(
            c,
            accuracy={"agreement_miou": share, "agreement_pixel_accuracy": share},
            accuracy_per_sample={"agreement_miou": (share, share), "agreement_pixel_accuracy": (share, share)},
        )
        for c, share in zip(example().candidates, shares, strict=True)
    )
    changes = {"baseline_accuracy": {}, "baseline_per_sample": {}, "set_metrics": ("agreement_miou",)}
    return example(candidates=candidates, primary_metric="agreement_miou", **changes)


def staged(around_ms: float = 2.0) -> BenchmarkResult:
    """Make a result whose FP32 candidates were split into stages, ``around_ms`` before and as much after the engine."""

    def split(c: Candidate) -> Candidate:
        turns = [block[:3] for block in c.runs[0].blocks_ns[:7]]  # seven processes of three answers
        around = int(around_ms * 1e6)
        stages = {
            "preprocess": tuple((around,) * 3 for _ in turns),
            "inference": tuple(turns),
            "postprocess": tuple((around,) * 3 for _ in turns),
            "end_to_end": tuple(tuple(ns + 2 * around for ns in turn) for turn in turns),
        }
        return replace(c, stages_ns=stages) if c.precision == "fp32" else c

    return example(candidates=tuple(map(split, example().candidates)))


def bare() -> BenchmarkResult:
    """Make the result of one foreign ONNX file: one candidate, nothing counted, nothing scored, no memory."""
    only = candidate("model", "fp32", 8.0, 0.0, blocks=2)
    only = replace(only, cost={}, accuracy={}, accuracy_per_sample={}, peak_memory_bytes=None, idle_memory_bytes=None)
    changes = {
        "engines": (),
        "baseline_accuracy": {},
        "primary_metric": "",
        "steps": (),
        "notes": (),
        "baseline_per_sample": {},
    }
    return example(title="foreign.onnx", candidates=(only,), **changes)


def pictures() -> Samples:
    """Make the archive that bench keeps beside a result."""
    truth = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    labels = ("bicubic", *(f"{role}/{precision}" for role, precision, *_ in _SPEC))
    return Samples({label: truth // (i + 2) for i, label in enumerate(labels)}, ("cat", "cup"), "test", truth)
