"""Every board's numbers are complete, agree with each other, and name their sources; so do those of a new file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.core import family
from edgekd.core.errors import UnknownName
from edgekd.core.target import Target, opset_for
from tests.contract.new_member import new_member

NEW = "orin_test_6gb"
NEW_SOURCE = '''
"""A board that does not exist: what a new file in edgekd/targets/ must contain."""

from edgekd.core.target import PowerMode, Target

TARGET = Target(
    title="Jetson Orin Test 6GB",
    sm="8.7",
    sms=6,
    gpu_mhz=1000.0,
    memory_gb=6.0,
    memory_gb_per_s=51.2,
    dla_cores=0,
    int8_tops_dense=24.6,
    fp16_tflops_dense=12.3,
    power_modes={"10W": PowerMode(sms=3, gpu_mhz=500.0), "MAXN": PowerMode(sms=6, gpu_mhz=1000.0)},
    tensorrt={"6.2": "10.3.0", "7.2": "10.16.2"},
    jetpack="6.2",
    sources=("every number: invented for this test",),
)
'''


@pytest.fixture(params=[*family.names("targets"), NEW])
def name(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param != NEW:
        yield request.param
        return
    with new_member("targets", NEW, NEW_SOURCE, tmp_path_factory.mktemp("targets")):
        yield NEW


@pytest.fixture
def target(name: str) -> Target:
    return family.load("targets", name).TARGET  # type: ignore[no-any-return]


def test_numbers_are_positive(target: Target) -> None:
    numbers = (target.sms, target.gpu_mhz, target.memory_gb, target.memory_gb_per_s)
    assert min(numbers) > 0
    assert min(target.int8_tops_dense, target.fp16_tflops_dense) > 0
    assert target.dla_cores >= 0


def test_its_name_ends_in_its_memory_or_its_module(name: str, target: Target) -> None:
    assert name == name.lower()
    assert name.rpartition("_")[2] in {f"{target.memory_gb:g}gb", target.title.split()[-1].lower()}


def test_power_modes_fit_the_board(target: Target) -> None:
    modes = target.power_modes.values()
    assert max(mode.sms for mode in modes) == target.sms
    assert all(1 <= mode.sms <= target.sms for mode in modes)
    assert max(mode.gpu_mhz or 0 for mode in modes) == target.gpu_mhz


def int8_ops_per_sm_clock(target: Target) -> float:
    return target.int8_tops_dense * 1e12 / (target.sms * target.gpu_mhz * 1e6)


def test_dense_peaks_follow_from_sms_and_clock(target: Target) -> None:
    # An SM's operations per clock are a power of two: 4096 INT8 on Orin, 16384 on Thor.
    exponent = math.log2(int8_ops_per_sm_clock(target))
    assert 2 ** (exponent - round(exponent)) == pytest.approx(1, rel=0.01)
    assert target.int8_tops_dense == pytest.approx(2 * target.fp16_tflops_dense, rel=0.01)


def test_boards_of_one_compute_capability_have_the_same_sm(target: Target) -> None:
    everyone = [family.load("targets", other).TARGET for other in family.names("targets")]
    alike = [int8_ops_per_sm_clock(other) for other in everyone if other.sm == target.sm]
    assert alike == pytest.approx([alike[0]] * len(alike), rel=0.01)


def test_jetpack_gives_a_tensorrt_and_an_opset(target: Target) -> None:
    assert target.jetpack in target.tensorrt
    assert target.opset == opset_for(target.tensorrt[target.jetpack])
    assert all(opset_for(version) >= 17 for version in target.tensorrt.values())


def test_newer_jetpacks_have_no_older_tensorrt(target: Target) -> None:
    def release(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    by_jetpack = [release(target.tensorrt[jetpack]) for jetpack in sorted(target.tensorrt, key=release)]
    assert by_jetpack == sorted(by_jetpack)


def test_numbers_name_their_sources(target: Target) -> None:
    assert target.title
    assert target.sources
    assert len(set(target.sources)) == len(target.sources)
    assert all(len(source) > 20 for source in target.sources)


def test_a_new_file_needs_no_other(tmp_path: Path) -> None:
    known = family.names("targets")
    with pytest.raises(UnknownName, match=NEW):
        family.load("targets", NEW)
    with new_member("targets", NEW, NEW_SOURCE, tmp_path):
        assert family.names("targets") == sorted([*known, NEW])
        target = family.load("targets", NEW).TARGET
        assert (target.title, target.opset) == ("Jetson Orin Test 6GB", 20)
    assert family.names("targets") == known


@pytest.mark.parametrize(
    ("tensorrt", "opset"),
    [
        ("7.1", 13),
        ("8.2.1", 13),
        ("8.5.2", 17),
        ("8.6.2", 17),
        ("9.0.1", 19),
        ("10.3.0", 20),
        ("10.13.3", 20),
        ("10.16.2", 24),
        ("11.4.1", 24),
        ("11.5", 25),
        ("12.0", 25),
    ],
)
def test_opset_of_a_release(tensorrt: str, opset: int) -> None:
    assert opset_for(tensorrt) == opset
