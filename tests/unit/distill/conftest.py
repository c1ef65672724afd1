"""The pair that the tests of training train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.distill.tiny_pair import make_pair


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A tiny pair with a teacher's weights, and a folder of pictures beside it."""
    return make_pair(tmp_path)
