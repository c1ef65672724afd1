"""Provenance: what makes a stage run again, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekd import __version__
from edgekd.core import provenance
from edgekd.core.config import ExportConfig, SimplifyConfig
from edgekd.core.provenance import Provenance, digest_of

SHA256 = "a" * 64


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": (1, 2)}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


@pytest.mark.parametrize(
    "made",
    [
        provenance.import_onnx(SHA256, {"batch": 1}, {}),
        provenance.export(SHA256, ExportConfig(), 20, {}),
        provenance.simplify(SHA256, SimplifyConfig()),
    ],
    ids=lambda made: made.stage,
)
def test_every_stage_names_its_parent_and_versions(made: Provenance) -> None:
    assert made.parents_sha256 == (SHA256,)
    assert made.versions["edgekd"] == __version__
    assert "onnx" in made.versions
    assert len(made.config_sha256) == 64


def test_equal_arguments_give_equal_provenance() -> None:
    assert provenance.export(SHA256, ExportConfig(), 20, {}) == provenance.export(SHA256, ExportConfig(), 20, {})


@pytest.mark.parametrize(
    "other",
    [
        provenance.export("b" * 64, ExportConfig(), 20, {}),
        provenance.export(SHA256, replace(ExportConfig(), tolerance=1e-3), 20, {}),
        provenance.export(SHA256, ExportConfig(), 19, {}),
        provenance.export(SHA256, ExportConfig(), 20, {"task": "classification"}),
    ],
)
def test_every_argument_counts(other: Provenance) -> None:
    assert provenance.export(SHA256, ExportConfig(), 20, {}) != other


def test_dims_and_tolerance_count() -> None:
    assert provenance.import_onnx(SHA256, {"n": 1}, {}) != provenance.import_onnx(SHA256, {"n": 2}, {})
    assert provenance.import_onnx(SHA256, {}, {"task": "a"}) != provenance.import_onnx(SHA256, {}, {"task": "b"})
    assert provenance.simplify(SHA256, SimplifyConfig()) != provenance.simplify(SHA256, SimplifyConfig(tolerance=0.1))


def test_a_library_that_is_not_installed_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "version_of", lambda library: None)
    assert set(provenance.simplify(SHA256, SimplifyConfig()).versions.values()) == {__version__, "absent"}
