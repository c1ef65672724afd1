"""Child processes: call a function of edgekd in a fresh interpreter, with plain data in and plain data out.

Everything in edgekd that must not share a process runs through ``call``: timing, memory, energy, profiles, onnxsim and
TensorRT-RTX's builder. The module is part of ``core`` because backends, which are below ``bench``, need it too.

The child reads its plan from a file and writes its answer to a file, so libraries may print anything to stdout. An
EdgeKDError raised in the child is raised again in the parent, as the same class; a crash or a timeout becomes a
WorkerError with the last line that the child printed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekd.core import errors
from edgekd.core.errors import EdgeKDError, MachineError, WorkerError

# The child must import this very edgekd, not another one that happens to be installed. The folder is first on the path
# only while ``edgekd`` is imported, then last: in a wheel it is site-packages, which must not shadow the standard
# library.
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import edgekd; sys.path.append(sys.path.pop(0)); "
    "from edgekd.core.worker import main; sys.exit(main(sys.argv[1:]))"
)
_TAIL_BYTES = 2000  # how much of the child's output a WorkerError keeps
_LAST_LINE_MAX = 200  # characters of it in the message


def call(
    function: str,
    plan: Any,
    *,
    timeout_s: float,
    name: str = "the child process",
    while_running: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> Any:
    """Call ``function(plan)`` in a fresh interpreter and return what it returns.

    Args:
        function: "package.module:name". It takes plain data and returns plain data, both as JSON represents them.
        plan: The function's argument.
        timeout_s: After this long the child and its own children are killed.
        name: What error messages call the child.
        while_running: Called with the process after it has started, for example to read a sensor meanwhile. If it
            raises, the child is killed.

    Raises:
        EdgeKDError: The function raised one: the same class and message.
        WorkerError: The child crashed, was killed, or ran out of time.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-worker-") as folder:
        plan_path, answer_path, output_path = (
            Path(folder) / file for file in ("plan.json", "answer.json", "output.txt")
        )
        plan_path.write_text(json.dumps(plan), encoding="utf-8")
        with output_path.open("wb") as output:
            child = subprocess.Popen(
                [*_interpreter(), function, str(plan_path), str(answer_path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own children can be killed with it
            )
            try:
                if while_running is not None:
                    while_running(child)
                child.wait(timeout_s)
            except subprocess.TimeoutExpired as err:
                raise WorkerError(
                    f"{name} did not finish within {timeout_s:.0f} s and was stopped",
                    timed_out=True,
                    output=_tail(output_path),
                ) from err
            finally:
                _kill(child)
        return _answer(child, answer_path, _tail(output_path), name)


def main(argv: Sequence[str]) -> int:
    """Run the child's side of ``call``: read the plan, call the function, write the answer.

    Args:
        argv: The function ("package.module:name"), the plan's path and the answer's path.
    """
    function, plan_path, answer_path = argv
    module, _, attribute = function.partition(":")
    plan = json.loads(Path(plan_path).read_text(encoding="utf-8"))
    try:
        answer = {"result": getattr(importlib.import_module(module), attribute)(plan)}
    except EdgeKDError as err:
        answer = {"error": type(err).__name__, "message": str(err)}
    Path(answer_path).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _interpreter() -> list[str]:
    return [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2])]


def _answer(child: subprocess.Popen[bytes], answer_path: Path, output: str, name: str) -> Any:
    if child.returncode or not answer_path.exists():
        lines = output.strip().splitlines() or ["none"]
        last = " ".join(lines[-1].split())[:_LAST_LINE_MAX]
        raise WorkerError(f"{name} ended {_how(child.returncode)}; last output: {last}", output=output)
    answer = json.loads(answer_path.read_text(encoding="utf-8"))
    if "error" in answer:
        raise getattr(errors, answer["error"], MachineError)(answer["message"])
    return answer["result"]


def _how(returncode: int) -> str:
    if returncode < 0:
        with contextlib.suppress(ValueError):  # a real-time signal has no name
            return f"by {signal.Signals(-returncode).name}"
    return f"with exit code {returncode}"


def _tail(output_path: Path) -> str:
    return output_path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole session, unless the child has ended by itself."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
