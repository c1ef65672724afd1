"""Fresh Python processes that run one module of this very edgekd: what they are fed, and how they ended."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekd.core.protocols import Array, Feeds
from edgekd.core.samples import Samples

# The child finds this very edgekd, from a checkout as from a wheel; appended, so that it shadows nothing.
_START = "import runpy, sys; sys.path.append(sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__')"


def fresh_python(module: str, *words: str) -> list[str]:
    """Return the command that runs ``module`` of this edgekd with ``words`` for arguments."""
    return [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2]), module, *words]


def save_feeds(path: Path, feeds: Sequence[Feeds], picture: Array | None = None) -> Path:
    """Write the feeds of a child's inferences, all of one shape, and the picture that it is to preprocess itself."""
    inputs = {name: np.stack([one[name] for one in feeds]) for name in feeds[0]}
    seen = None if picture is None else picture[None]
    Samples(inputs, tuple(map(str, range(len(feeds)))), "bench", seen=seen).save(path)
    return path


def ended(child: subprocess.CompletedProcess[str]) -> str:
    """Say how a process ended that did not end well, and its last words."""
    how = f"with {child.returncode}"
    with contextlib.suppress(ValueError):
        how = f"by {signal.Signals(-child.returncode).name}"
    said = (child.stderr.strip().splitlines() or ["nothing"])[-1]
    return f"ended {how} and said: {said[:200]}"
