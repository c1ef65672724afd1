"""The board's door: ``python -m edgekd.agent``, on argparse, with numpy and one engine library and nothing else.

Verbs: ``selftest``, ``doctor``, ``build``, ``bench``. The answer goes to stdout, one line of JSON where ``--json`` asks
for it; talk goes to stderr; exit codes are those of ``core/errors.py``.
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
from edgekd.bench import suite
from edgekd.core import family, units
from edgekd.core.artifact import Artifact, read_artifact, save_manifest, sha256_of, write_atomic
from edgekd.core.config import BenchConfig
from edgekd.core.errors import EXIT_BUG, EXIT_INTERRUPTED, EdgeKDError, IntegrityError
from edgekd.core.tensor import TensorSpec
from edgekd.machine.doctor import doctor
from edgekd.results.result import BenchmarkResult, read_result
from edgekd.runtime import build


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code. One of the two doors where every exception ends."""
    try:
        options = _parser().parse_args(argv)
        answer, line = options.verb(options)
        print(json.dumps(answer) if options.json else line)
    except EdgeKDError as err:
        print(f"edgekd.agent: {' '.join(str(err).split())}", file=sys.stderr)
        return err.exit_code
    except BrokenPipeError:  # whoever read stdout has gone; nothing may be written there when Python ends, either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("edgekd.agent: interrupted; what was finished stands", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the door: anything else is our bug
        traceback.print_exc()
        return EXIT_BUG
    return 0


def selftest() -> BenchmarkResult:
    """Take a network that is not there through build and bench on the null backend, in a folder of its own.

    Raises:
        IntegrityError: The result read back is not the one that was measured.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-selftest-") as folder:
        onnx = _pretended_network(Path(folder) / "selftest.onnx")
        engine = build.run(onnx, "null", Path(folder) / "selftest.engine", threads=1)
        result_path = Path(folder) / "result.json"
        plan = BenchConfig("null", processes=1, blocks=2, block_ms=1.0, warmup_ms=1.0, threads=1, energy_s=0.0)
        artifact = _bench([read_artifact(engine.path)], suite.Setting("selftest", plan), result_path)
        result = read_result(result_path)
        if read_artifact(result_path) != artifact or len(result.candidates) != 1:
            raise IntegrityError(
                f"{result_path} holds {len(result.candidates)} candidates, 1 was measured; reinstall edgekd"
            )
    return result


def _pretended_network(path: Path) -> Artifact:
    """Write a file that stands for a network: the null backend reads its manifest only."""
    write_atomic(path, "a network for the null backend\n")
    inputs = (TensorSpec("image", (1, 3, 8, 8), "float32"),)
    outputs = (TensorSpec("enlarged", (1, 3, 16, 16), "float32"), TensorSpec("label", (1,), "int64"))
    artifact = Artifact("onnx", path, sha256_of(path), inputs, outputs)
    save_manifest(artifact)
    return artifact


def _bench(engines: Sequence[Artifact], setting: suite.Setting, out: Path) -> Artifact:
    subjects = suite.subjects(engines)
    made_by = suite.provenance(subjects, setting, dataclasses.asdict(setting.config))
    return suite.run(subjects, setting, made_by, out, suite.Told(lambda line: print(line, file=sys.stderr)))


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
    plan = BenchConfig(options.backend or suite.backend_of(engines), threads=options.threads, budget_s=options.budget_s)
    feeds = read_artifact(options.samples) if options.samples else None
    _bench(engines, suite.Setting(options.title, plan, feeds), options.output)
    found = read_result(options.output).candidates
    answer = {
        "result": str(options.output),
        "p50_ms": {candidate.name: candidate.percentile_ms(50) for candidate in found},
    }
    shown = ", ".join(f"{candidate.name} {units.ms(candidate.percentile_ms(50))} ms" for candidate in found)
    return answer, f"{options.output}: p50 of {shown}"


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

    verb = verbs.add_parser("bench", parents=[engine], help="engines → result.json, in turns in several processes")
    verb.add_argument("engines", type=Path, nargs="+", metavar="ENGINE")
    verb.add_argument("--backend", help=f"one of {known}; the one that built them otherwise")
    verb.add_argument("--samples", type=Path, help="archive of feeds with its manifest; zeros otherwise")
    verb.add_argument("--budget-s", type=float, default=90.0, help="begin no round after this long")
    verb.add_argument("--title", default="bench")
    verb.set_defaults(verb=_bench_verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
