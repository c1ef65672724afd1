"""A small result made by hand, with something in every field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekd.core.conditions import Conditions
from edgekd.results.result import BenchmarkResult, CandidateResult, EngineRow, NodeTime, Run, StageTime

CONDITIONS = Conditions(
    "workstation", "some CPU", "onnxruntime", {"onnxruntime": "1.31.1"}, 2, 2, 1, "single_stream", "clock"
)


def a_candidate(name: str = "teacher/fp32", **changes: Any) -> CandidateResult:
    """Make a candidate with two runs, of two blocks and one."""
    runs = (Run(((2_000_000, 4_000_000), (6_000_000,)), 3), Run(((8_000_000,),), 0))
    role, _, precision = name.partition("/")
    candidate = CandidateResult(
        name=name,
        role=role,
        precision=precision,
        engine_sha256="e" * 64,
        onnx_sha256="f" * 64,
        inputs={"x": (1, 3, 8, 8)},
        runs=runs,
        cost={"macs": 1e9},
        onnx_bytes=10,
        engine_bytes=20,
        peak_memory_bytes=30,
        idle_memory_bytes=None,
        accuracy={"psnr_y_db": 33.5},
        accuracy_per_sample={"psnr_y_db": (33.0, 34.0)},
        notes=("ran on one core",),
        nodes=(NodeTime("conv", "Conv", 1.5, 0.1), NodeTime("/relu", "", 0.25)),
    )
    return replace(candidate, **changes)


def a_result() -> BenchmarkResult:
    """Make the whole result."""
    facts = {"layers": 3, "kinds": ["conv"]}
    return BenchmarkResult(
        title="edsr_from_edsr",
        edgekd="0.1.0",
        conditions=CONDITIONS,
        candidates=(a_candidate(), a_candidate("student/int8")),
        engines=(EngineRow("teacher/fp32", "null", True, "a caveat", "built", facts),),
        baseline_accuracy={"psnr_y_db": 30.0},
        primary_metric="psnr_y_db",
        steps=("export: dynamo",),
        notes=("a note",),
        stage_seconds=(StageTime("export teacher", 1.5), StageTime("bench", 60.25)),
    )
