"""Protocols: capabilities are asked for by type, and every one can be told apart from the others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgekd.core import family, protocols

# Capability → the names that make it.
CAPABILITIES = {
    protocols.Degrades: ("degrade",),
    protocols.Tileable: ("TILE_OVERLAP",),
    protocols.Pictures: ("picture",),
    protocols.HasLegend: ("legend",),
    protocols.Labels: ("label", "class_names"),
    protocols.HasBaseline: ("BASELINE", "baseline"),
    protocols.Summarizes: ("summarize",),
    protocols.HasAgreementMetric: ("AGREES_BY",),
    protocols.ProfilingBackend: ("open_profiled",),
    protocols.GpuBackend: ("gpu_timing",),
}


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda capability: capability.__name__)
def test_a_capability_is_the_names_it_needs(capability: type) -> None:
    names = CAPABILITIES[capability]
    able = SimpleNamespace(**dict.fromkeys(names, lambda *_: None))
    assert [other for other in CAPABILITIES if isinstance(able, other)] == [capability]
    for missing in names:
        others = {name: dict for name in names if name != missing}
        assert not isinstance(SimpleNamespace(**others), capability)


@pytest.mark.parametrize("name", family.names("tasks"))
def test_a_task_s_module_is_asked_like_any_object(name: str) -> None:
    task = family.load("tasks", name)
    for capability, names in CAPABILITIES.items():
        assert isinstance(task, capability) == all(hasattr(task, needed) for needed in names)


def test_a_session_that_cannot_time_the_device_is_no_timed_session() -> None:
    plain = SimpleNamespace(inputs=(), outputs=(), run=dict, close=dict)
    assert not isinstance(plain, protocols.TimedSession)
    assert isinstance(SimpleNamespace(**vars(plain), run_timed=dict), protocols.TimedSession)
