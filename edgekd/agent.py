"""The command line on a board: ``python -m edgekd.agent``, with numpy and one engine library and nothing else.

Verbs: ``selftest``, ``doctor``, ``build``, ``bench``, ``gate``. The answer goes to stdout, as one line of JSON with
``--json``; progress goes to stderr, one JSON object a line; exit codes are those of ``core/errors.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import __version__
from edgekd.bench import paired, suite
from edgekd.bench.plan import plan_of
from edgekd.core import family, units
from edgekd.core.artifact import Artifact, publish, read_artifact, sha256_of
from edgekd.core.config import BenchConfig
from edgekd.core.errors import EXIT_BUG, EXIT_INTERRUPTED, EdgeKDError, IntegrityError
from edgekd.core.reporter import JsonReporter, QuietReporter
from edgekd.core.samples import SampleArchive
from edgekd.core.tensor import TensorSpec
from edgekd.machine.doctor import doctor
from edgekd.results import gate
from edgekd.results.result import BenchmarkResult, read_result
from edgekd.runtime import build


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code. One of the two doors where every exception ends."""
    try:
        options = _parser().parse_args(argv)
        answer, line = options.verb(options)
        print(json.dumps(answer) if options.json else line)
        return int(answer.get("exit_code", 0))
    except EdgeKDError as err:
        print(f"edgekd.agent: {' '.join(str(err).split())}", file=sys.stderr)
        return err.exit_code
    except BrokenPipeError:  # the reader of stdout has gone; Python must not write there when it ends, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("edgekd.agent: interrupted; what was finished stands", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the door: anything else is our bug
        traceback.print_exc()
        return EXIT_BUG
    return 0


def selftest() -> BenchmarkResult:
    """Take a made-up network through build and bench on the null backend, in a temporary folder.

    Raises:
        IntegrityError: The result read back is not the one that was measured.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-selftest-") as folder:
        onnx = _made_up_network(Path(folder) / "selftest.onnx")
        engine = build.run(onnx, "null", Path(folder) / "selftest.engine", threads=1)
        result_path = Path(folder) / "result.json"
        config = BenchConfig("null", processes=1, min_rounds=2, block_ms=1.0, warmup_ms=1.0, threads=1, energy_s=0.0)
        candidates, plan = plan_of([read_artifact(engine.path)], config, title="selftest")
        artifact = suite.run(candidates, plan, result_path, QuietReporter())
        result = read_result(result_path)
        if read_artifact(result_path) != artifact or len(result.candidates) != 1:
            raise IntegrityError(
                f"{result_path} holds {len(result.candidates)} candidates, 1 was measured; reinstall edgekd"
            )
    return result


def _made_up_network(path: Path) -> Artifact:
    """Write a file that stands for a network: the null backend reads its manifest only."""
    inputs = (TensorSpec("image", (1, 3, 8, 8), "float32"),)
    outputs = (TensorSpec("enlarged", (1, 3, 16, 16), "float32"), TensorSpec("label", (1,), "int64"))
    return publish(Artifact("onnx", path, inputs=inputs, outputs=outputs), "a network for the null backend\n")


def _selftest_verb(options: argparse.Namespace) -> tuple[Any, str]:
    candidate = selftest().candidates[0]
    answer = {"ok": True, "edgekd": __version__, "numpy": np.__version__, "samples": len(candidate.latencies_ms)}
    return answer, f"selftest passed: edgekd {__version__}, numpy {np.__version__}, python {platform.python_version()}"


def _doctor_verb(options: argparse.Namespace) -> tuple[Any, str]:
    facts = doctor()
    return facts, json.dumps(facts, indent=1)


def _build_verb(options: argparse.Namespace) -> tuple[Any, str]:
    engine = build.run(read_artifact(options.onnx), options.backend, options.output, threads=options.threads)
    answer = {"engine": str(engine.path), "sha256": engine.sha256, "facts": dict(engine.facts)}
    return answer, f"{engine.path}: {engine.facts.get('summary', 'built')}"


def _bench_verb(options: argparse.Namespace) -> tuple[Any, str]:
    engines = [read_artifact(path) for path in options.engines]
    samples = SampleArchive(options.samples) if options.samples else None
    config = BenchConfig(threads=options.threads, budget_s=options.budget_s)
    candidates, plan = plan_of(engines, config, samples, options.title)
    suite.run(candidates, plan, options.output, JsonReporter())
    rows = read_result(options.output).candidates
    answer = {"result": str(options.output), "p50_ms": {row.name: row.percentile_ms(50) for row in rows}}
    medians = ", ".join(f"{row.name} {units.ms(row.percentile_ms(50))} ms" for row in rows)
    return answer, f"{options.output}: p50 of {medians}"


def _gate_verb(options: argparse.Namespace) -> tuple[Any, str]:
    engines = (read_artifact(options.new), read_artifact(options.against))
    limits = gate.Limits(latency=options.latency)
    samples = SampleArchive(options.samples) if options.samples else None
    config = dataclasses.replace(paired.CONFIG, threads=options.threads, budget_s=options.budget_s)
    raw_result = options.output.with_suffix(".result.json")
    verdict = paired.run(engines, limits, config, raw_result, JsonReporter(), samples)
    gate.publish_verdict(verdict, options.output, [sha256_of(raw_result)])
    answer = {
        "status": verdict.status,
        "exit_code": verdict.exit_code,
        "verdict": str(options.output),
        "result": str(raw_result),
    }
    return answer, f"{options.output}: {verdict.status}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgekd.agent", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"edgekd {__version__}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser(
        "selftest", parents=[shared], help="build and bench on the null backend: is the install whole?"
    )
    verb.set_defaults(verb=_selftest_verb)

    verb = verbs.add_parser("doctor", parents=[shared], help="what this machine is, and which backends load on it")
    verb.set_defaults(verb=_doctor_verb)

    known = ", ".join(family.names("backends"))
    engine = argparse.ArgumentParser(add_help=False, parents=[shared])
    engine.add_argument("-o", "--output", type=Path, required=True)
    engine.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for every core")

    verb = verbs.add_parser("build", parents=[engine], help="ONNX file with its manifest → engine")
    verb.add_argument("onnx", type=Path, metavar="ONNX")
    verb.add_argument("--backend", required=True, help=f"one of {known}")
    verb.set_defaults(verb=_build_verb)

    measured = argparse.ArgumentParser(add_help=False, parents=[engine])
    measured.add_argument("--samples", type=Path, help="a samples archive to feed and to score; zeros otherwise")

    verb = verbs.add_parser("bench", parents=[measured], help="engines → result.json, interleaved, several processes")
    verb.add_argument("engines", type=Path, nargs="+", metavar="ENGINE")
    verb.add_argument("--budget-s", type=float, default=BenchConfig().budget_s, help="start no round after this long")
    verb.add_argument("--title", default="bench")
    verb.set_defaults(verb=_bench_verb)

    verb = verbs.add_parser("gate", parents=[measured], help="a new engine and the accepted one → pass, regress ...")
    verb.add_argument("new", type=Path, metavar="NEW")
    verb.add_argument("against", type=Path, metavar="ACCEPTED")
    verb.add_argument("--latency", type=float, default=0.03, help="how much slower it may be, as a share")
    verb.add_argument("--budget-s", type=float, default=paired.CONFIG.budget_s, help="for all analyses together")
    verb.set_defaults(verb=_gate_verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
