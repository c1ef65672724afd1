"""Fresh Python processes that run one module of this very edgekd, and how they ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

# The child finds this very edgekd, from a checkout as from a wheel; appended, so that it shadows nothing.
_START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


def fresh_python(module: str, *words: str) -> list[str]:
    """Return the command that runs ``module`` of this edgekd with ``words`` for arguments."""
    return [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2]), module, *words]


def ended(child: subprocess.CompletedProcess[str]) -> str:
    """Say how a process ended that did not end well, and its last words."""
    how = f"with {child.returncode}"
    with contextlib.suppress(ValueError):
        how = f"by {signal.Signals(-child.returncode).name}"
    said = (child.stderr.strip().splitlines() or ["nothing"])[-1]
    return f"ended {how} and said: {said[:200]}"
