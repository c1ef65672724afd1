"""Every board's numbers are there, agree with each other, and say where they are from."""

from __future__ import annotations

import pytest

from edgekd.core import family
from edgekd.core.target import Target, opset_for

# One Orin SM a clock: INT8 operations, FP16 floating-point operations (dense).
SM87_INT8_OPS, SM87_FP16_FLOPS = 4096, 2048


@pytest.fixture(params=family.names("targets"))
def target(request: pytest.FixtureRequest) -> Target:
    return family.load("targets", request.param).TARGET


def test_numbers_are_positive(target: Target) -> None:
    numbers = (target.sms, target.gpu_mhz, target.memory_gb, target.memory_gb_per_s)
    assert min(numbers) > 0
    assert min(target.int8_tops_dense, target.fp16_tflops_dense) > 0
    assert target.dla_cores in (0, 1, 2)


def test_power_modes_fit_the_board(target: Target) -> None:
    modes = target.power_modes.values()
    assert max(mode.sms for mode in modes) == target.sms
    assert all(mode.sms >= 1 for mode in modes)
    assert max(mode.gpu_mhz or 0 for mode in modes) == target.gpu_mhz


def test_dense_peaks_follow_from_the_clock(target: Target) -> None:
    if target.sm == "8.7":
        sm_ghz = target.sms * target.gpu_mhz / 1e3
        assert target.int8_tops_dense == pytest.approx(sm_ghz * SM87_INT8_OPS / 1e3, rel=0.01)
        assert target.fp16_tflops_dense == pytest.approx(sm_ghz * SM87_FP16_FLOPS / 1e3, rel=0.01)
    assert target.int8_tops_dense == pytest.approx(2 * target.fp16_tflops_dense, rel=0.01)


def test_jetpack_gives_a_tensorrt_and_an_opset(target: Target) -> None:
    assert target.jetpack in target.tensorrt
    assert target.opset == opset_for(target.tensorrt[target.jetpack])
    assert all(opset_for(version) >= 17 for version in target.tensorrt.values())


def test_numbers_say_where_they_are_from(target: Target) -> None:
    assert target.title
    assert len(target.sources) >= 3
    assert all(len(source) > 20 for source in target.sources)
    assert any(source.startswith("unconfirmed:") for source in target.sources)


@pytest.mark.parametrize(
    ("tensorrt", "opset"),
    [
        ("8.2.1", 13),
        ("8.5.2", 17),
        ("8.6.2", 17),
        ("10.3.0", 20),
        ("10.13.3", 20),
        ("10.16.2", 24),
        ("11.4.1", 24),
        ("11.5", 25),
    ],
)
def test_opset_of_a_release(tensorrt: str, opset: int) -> None:
    assert opset_for(tensorrt) == opset
