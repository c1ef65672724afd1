"""NetworkInfo: plain data that travels in manifests."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.core.errors import RecipeError
from edgekd.core.network_info import NetworkInfo
from edgekd.core.schema import parse, to_plain

_NUMBERS = st.floats(0, 1e15)


@given(
    st.builds(
        NetworkInfo,
        role=st.sampled_from(["teacher", "student", "model"]),
        title=st.text(max_size=8),
        task=st.text(max_size=8),
        task_options=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3),
        includes_preprocessing=st.booleans(),
        precision=st.text(max_size=8),
        cost=st.dictionaries(st.sampled_from(["macs", "flops", "parameters"]), _NUMBERS),
        onnx_bytes=st.integers(0, 2**40),
    )
)
def test_it_reads_back_from_json(info: NetworkInfo) -> None:
    assert parse(NetworkInfo, json.loads(json.dumps(to_plain(info))), "network") == info


def test_defaults_are_those_of_an_unknown_onnx_file() -> None:
    info = parse(NetworkInfo, {}, "network")
    assert (info.role, info.task, info.precision, info.onnx_bytes) == ("model", "", "as given", 0)
    assert not info.includes_preprocessing


def test_a_stage_changes_a_copy() -> None:
    given_info = NetworkInfo(role="student", cost={"macs": 1e9})
    quantized = dataclasses.replace(given_info, precision="int8")
    assert (quantized.precision, quantized.cost, given_info.precision) == ("int8", {"macs": 1e9}, "as given")
    with pytest.raises(dataclasses.FrozenInstanceError):
        given_info.precision = "fp16"  # type: ignore[misc]


@pytest.mark.parametrize("data", [{"role": 3}, {"cost": {"macs": "many"}}, {"colour": "red"}, []])
def test_other_data_is_refused(data: object) -> None:
    with pytest.raises(RecipeError, match="network"):
        parse(NetworkInfo, data, "network")
