"""Results with the shape of real ones, for the tests of results and of every report format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgekd.core.conditions import Conditions
from edgekd.core.previews import Previews
from edgekd.results.result import BenchmarkResult, CandidateResult, EngineRow, Run, StageTime

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
CAVEAT = "not a Jetson engine"
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
) -> CandidateResult:
    """Make one candidate whose blocks scatter by 1 % around its latency."""
    noise = np.random.default_rng([seed, *f"{role}/{precision}".encode()]).normal(1, 0.01, (blocks, 5))
    runs = (Run(tuple(tuple(int(latency_ms * 1e6 * n) for n in block) for block in noise), 20),)
    return CandidateResult(
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
            c.name, "tensorrt_rtx", c.precision != "fp16", CAVEAT, "52 layers", facts if c.precision == "int8" else {}
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
    """Make a result without ground truth: mean IoU and pixel accuracy against the first candidate's own labels."""
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


def timed_end_to_end(outside_ms: float = 2.0) -> BenchmarkResult:
    """Make a result with end-to-end times of its FP32 candidates, ``outside_ms`` before and after the engine each."""

    def split(c: CandidateResult) -> CandidateResult:
        processes = [block[:3] for block in c.runs[0].blocks_ns[:7]]  # seven processes of three images
        outside_ns = int(outside_ms * 1e6)
        stages = {
            "preprocess": tuple((outside_ns,) * 3 for _ in processes),
            "inference": tuple(processes),
            "postprocess": tuple((outside_ns,) * 3 for _ in processes),
            "end_to_end": tuple(tuple(ns + 2 * outside_ns for ns in process) for process in processes),
        }
        return replace(c, end_to_end_ns=stages) if c.precision == "fp32" else c

    return example(candidates=tuple(map(split, example().candidates)))


def bare() -> BenchmarkResult:
    """Make the result of one imported ONNX file: one candidate, nothing counted, nothing scored, no memory."""
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


def timed_stages() -> BenchmarkResult:
    """Make a result that says how long each stage of its run took."""
    return example(stage_seconds=(StageTime("distill", 90.0), StageTime("export", 7.5), StageTime("bench", 52.5)))


def previews() -> Previews:
    """Make the previews that bench keeps beside a result."""
    target = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    labels = ("bicubic", *(f"{role}/{precision}" for role, precision, *_ in _SPEC))
    return Previews({label: target // (i + 2) for i, label in enumerate(labels)}, ("cat", "cup"), "test", target)
