"""Child processes: answers, errors, crashes, time limits, and which edgekd the child imports.

The functions that children call are in a module that the tests write, so that they can fail in every way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgekd.core import worker
from edgekd.core.errors import EdgeKDError, InputError, MachineError, TargetMismatch, WorkerError

LIMIT_S = 60.0
PAUSE = threading.Event()  # never set: its wait is a pause
FUNCTIONS = """
import os, signal, subprocess, sys, time
from pathlib import Path

from edgekd.core import errors


def echo(plan):
    return {"got": plan, "pid": os.getpid(), "executable": sys.executable}


def noisy(plan):
    print("a library prints to stdout")
    os.write(1, b"and writes to the descriptor \\xff\\n")
    print("and to stderr", file=sys.stderr)
    return 7


def fail(plan):
    raise getattr(errors, plan["class"])(plan["message"])


class OwnError(errors.MachineError):
    pass


def fail_by_own_class(plan):
    raise OwnError("only this module knows the class")


def bug(plan):
    raise ZeroDivisionError("a bug")


def crash(plan):
    print("the last line before", flush=True)
    os.kill(os.getpid(), plan)


def leave(plan):
    print("\\n  leaving   early  \\n", flush=True)
    os._exit(plan)


def unserializable(plan):
    return object()


def hang(plan):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(plan).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def standard_input(plan):
    return sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def functions(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let children import ``worker_functions``."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "worker_functions.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def call(function: str, plan: object = None, **options):
    return worker.call(f"worker_functions:{function}", plan, **{"timeout_s": LIMIT_S, **options})


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(path: Path, child: subprocess.Popen[bytes]) -> None:
    """Return when the child has written ``path``."""
    while not path.exists() or not path.read_text():
        assert child.poll() is None, "the child ended before it wrote its note"
        PAUSE.wait(0.01)


def ends(pid: int) -> bool:
    """Return whether a process ends soon: a killed one may still be there for a moment."""
    for _ in range(1000):
        if not is_running(pid):
            return True
        PAUSE.wait(0.01)
    return False


@pytest.mark.parametrize("plan", [None, 3, "ü", [1.5, None, True], {"a": {"b": [1]}}])
def test_plain_data_goes_in_and_comes_out(plan: object) -> None:
    answer = call("echo", plan)
    assert answer["got"] == plan
    assert answer["pid"] != os.getpid()
    assert answer["executable"] == sys.executable


def test_output_of_libraries_does_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("noisy") == 7
    assert capfd.readouterr() == ("", "")


def test_the_child_has_no_standard_input() -> None:
    assert call("standard_input") == ""


@pytest.mark.parametrize("error", [InputError, TargetMismatch, MachineError])
def test_an_error_crosses_over_with_its_class_and_message(error: type[EdgeKDError]) -> None:
    with pytest.raises(error) as raised:
        call("fail", {"class": error.__name__, "message": "ü: what was found\nand expected"})
    assert type(raised.value) is error
    assert str(raised.value) == "ü: what was found\nand expected"


def test_an_error_of_a_class_that_only_the_child_knows_is_the_machines() -> None:
    with pytest.raises(MachineError) as raised:
        call("fail_by_own_class")
    assert type(raised.value) is MachineError
    assert "only this module" in str(raised.value)


def test_a_bug_is_a_crash_with_its_last_line() -> None:
    with pytest.raises(WorkerError, match=r"the builder ended with exit code 1; .*ZeroDivisionError: a bug") as raised:
        call("bug", name="the builder")
    assert "Traceback" in raised.value.output
    assert not raised.value.timed_out


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (6, "SIGABRT"), (9, "SIGKILL")])
def test_a_crash_names_its_signal(number: int, name: str) -> None:
    with pytest.raises(WorkerError, match=f"by {name}; .*the last line before"):
        call("crash", number)


def test_a_signal_without_a_name_is_an_exit_code() -> None:
    with pytest.raises(WorkerError, match="exit code -40"):
        call("crash", 40)


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_leaves_without_an_answer(code: int) -> None:
    with pytest.raises(WorkerError, match=f"exit code {code}; last output: leaving early$"):
        call("leave", code)


def test_an_answer_that_json_cannot_hold() -> None:
    with pytest.raises(WorkerError, match="not JSON serializable"):
        call("unserializable")


def test_a_function_that_does_not_exist() -> None:
    with pytest.raises(WorkerError, match="no attribute 'nothing'"):
        call("nothing")
    with pytest.raises(WorkerError, match="No module named 'no_such_module'"):
        worker.call("no_such_module:f", None, timeout_s=LIMIT_S)


def test_a_time_limit_kills_the_child_and_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    # Wait until both run, so that the limit, however short, finds them.
    with pytest.raises(WorkerError, match="the sleeper did not finish within 0 s") as raised:
        call("hang", str(note), timeout_s=0.05, name="the sleeper", while_running=lambda child: wait_for(note, child))
    assert raised.value.timed_out
    child, grandchild = map(int, note.read_text().split())
    assert not is_running(child)
    assert ends(grandchild)


def test_a_watcher_that_raises_kills_the_child_and_its_children(tmp_path: Path) -> None:
    note, watched = tmp_path / "pids", []

    def watch(child: subprocess.Popen[bytes]) -> None:
        watched.append(child.pid)
        wait_for(note, child)
        raise KeyError("the sensor has gone")

    with pytest.raises(KeyError, match="the sensor has gone"):
        call("hang", str(note), while_running=watch)
    child, grandchild = map(int, note.read_text().split())
    assert watched == [child]
    assert not is_running(child)
    assert ends(grandchild)


def test_a_watcher_sees_the_child_end() -> None:
    codes = []
    assert call("noisy", while_running=lambda child: codes.append(child.wait())) == 7
    assert codes == [0]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    call("noisy")
    with pytest.raises(InputError):
        call("fail", {"class": "InputError", "message": "no"})
    assert list(tmp_path.iterdir()) == []


CALLER = """
import importlib, json, signal, subprocess, sys, tempfile
sys.path.insert(0, sys.argv[1])  # only while edgekd is imported
from edgekd.core import worker
sys.path.remove(sys.argv[1])
print(json.dumps(worker.call("edgekd.probe:where", None, timeout_s=60.0)))
"""


def test_a_checkout_that_is_not_on_the_path_calls_its_own_edgekd(root: Path, tmp_path: Path) -> None:
    """The child must not import another edgekd that is installed, nor one in the working folder."""
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    shutil.copytree(root / "edgekd" / "core", checkout / "edgekd" / "core")
    shutil.copy(root / "edgekd" / "__init__.py", checkout / "edgekd")
    (checkout / "edgekd" / "probe.py").write_text("def where(plan):\n    return __file__\n")
    (elsewhere / "edgekd").mkdir(parents=True)
    (elsewhere / "edgekd" / "__init__.py").write_text("raise SystemExit('the wrong edgekd')\n")
    (checkout / "json.py").write_text("raise SystemExit('shadows the standard library')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", CALLER, str(checkout)]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == f'"{checkout / "edgekd" / "probe.py"}"'
