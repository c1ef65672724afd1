"""Checkpoints: what is read, what is refused, and that equal weights are written as equal bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekd.core.errors import InputError
from edgekd.networks import checkpoint


def _net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_round_trip_in_half_precision(tmp_path: Path) -> None:
    net, path = _net(), tmp_path / "net.safetensors"
    checkpoint.save_weights(net, path, torch.float16, {"seed": "0", "steps": "3"})
    loaded = checkpoint.load_weights(_net(), path)
    assert not loaded.training
    assert loaded[0].weight.dtype == torch.float32  # type: ignore[index,union-attr]
    torch.testing.assert_close(loaded.state_dict()["0.weight"], net.state_dict()["0.weight"], atol=1e-3, rtol=1e-3)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        checkpoint.save_weights(_net(), tmp_path / name, torch.float16, {k: k for k in "zyxwvutsr"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("wrapper", [None, "state_dict", "params", "params_ema", "model"])
def test_torch_checkpoints_are_read_wrapped_or_bare(tmp_path: Path, wrapper: str | None) -> None:
    state = _net().state_dict()
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "net.pt")
    assert checkpoint.read_state(tmp_path / "net.pt").keys() == state.keys()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"rubbish" * 100, b"PK\x03\x04" + bytes(100)])
def test_rubbish_is_refused(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(data)
    with pytest.raises(InputError, match="net"):
        checkpoint.read_state(path)


def test_wrong_shape_names_both(tmp_path: Path) -> None:
    checkpoint.save_weights(_net(), tmp_path / "net.safetensors", torch.float32, {})
    with pytest.raises(InputError, match=r"0\.weight is \(4, 3, 3, 3\), \(4, 3, 5, 5\)"):
        checkpoint.load_weights(nn.Sequential(nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4)), tmp_path / "net.safetensors")


def test_edited_network_is_read_again_at_once(tmp_path: Path) -> None:
    for channels in (4, 5, 6):  # files of equal length, written in one second
        (tmp_path / "model.py").write_text(
            f"from torch import nn\n\ndef teacher():\n    return nn.Conv2d(3, {channels}, 1)\n"
        )
        assert checkpoint.network(tmp_path, "teacher").out_channels == channels
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]


def test_pair_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.py does not exist"):
        checkpoint.network(tmp_path, "teacher")
    (tmp_path / "model.py").write_text("def teacher():\n    return 3\n")
    with pytest.raises(InputError, match=r"int.*Module"):
        checkpoint.network(tmp_path, "teacher")
    with pytest.raises(InputError, match=r"student\(\)"):
        checkpoint.network(tmp_path, "student")


def test_sizes_that_a_function_does_not_take_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "from torch import nn\n\ndef student(channels=3):\n    return nn.Conv2d(3, channels, 1)\n"
    )
    assert checkpoint.network(tmp_path, "student", {"channels": 5}).out_channels == 5
    with pytest.raises(InputError, match=r"network\.student = \{'width': 5\}.*channels=3"):
        checkpoint.network(tmp_path, "student", {"width": 5})


def test_missing_and_unexpected_keys_are_listed_up_to_four(tmp_path: Path) -> None:
    state = {f"layer{index}": torch.zeros(1) for index in range(6)}
    checkpoint.save_state(state, tmp_path / "net.safetensors", torch.float32, {})
    with pytest.raises(InputError, match=r"missing 0\.bias.*and 3 more.*layer0, layer1, layer2, layer3 and 2 more"):
        checkpoint.load_weights(_net(), tmp_path / "net.safetensors")


def test_pickled_objects_are_never_run(tmp_path: Path) -> None:
    torch.save(_net(), tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"whole\.pt.*never unpickles"):
        checkpoint.read_state(tmp_path / "whole.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"epoch": 3}}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"net\.pt holds a"):
        checkpoint.read_state(tmp_path / "net.pt")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pt does not exist"):
        checkpoint.load_weights(_net(), tmp_path / "none.pt")


def test_tensors_and_facts_are_read_back_and_foreign_files_refused(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b": torch.ones(2, 2, dtype=torch.float16)}
    checkpoint.write_tensors(tmp_path / "own.safetensors", tensors, {"step": "7"})
    found, facts = checkpoint.read_tensors(tmp_path / "own.safetensors")
    assert facts == {"step": "7"}
    for name, tensor in tensors.items():
        torch.testing.assert_close(found[name], tensor)
    save_file(tensors, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match=r"foreign\.safetensors"):
        checkpoint.read_tensors(tmp_path / "foreign.safetensors")


def test_integers_keep_their_dtype_in_half_precision(tmp_path: Path) -> None:
    checkpoint.save_weights(_net(), tmp_path / "net.safetensors", torch.float16, {})
    state = checkpoint.read_state(tmp_path / "net.safetensors")
    assert state["0.weight"].dtype == torch.float16
    assert state["1.num_batches_tracked"].dtype == torch.int64
