"""What every test folder shares: where the repository is, and markers by folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tensors here are tiny: torch's second thread brings nothing, and where other work runs it spins, which made one file
# take five minutes instead of forty seconds. Before torch is imported, and for what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, so that nobody forgets to."""
    for item in items:
        for folder in ("alone", "gpu", "board"):
            if folder in item.path.relative_to(ROOT).parts:
                item.add_marker(folder)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test read, or leave anything in, the home of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp()))
