"""Checkpoints: building a network from a pair's model.py or a module path, and its weights; nothing is unpickled."""

from __future__ import annotations

import importlib.util
import inspect
import json
import pickle
import struct
import sys
import types
from collections.abc import Iterable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from edgekd.core.artifact import atomic_path
from edgekd.core.errors import InputError

# What torch's weights-only unpickler raises on files that are no checkpoints.
_TORCH_MAY_RAISE = (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error)
_MAX_LISTED = 4  # keys in a message before it says how many more there are
# Trainers wrap the state dict in one of these keys: BasicSR, timm, Lightning.
_WRAPPERS = ("params_ema", "params", "state_dict", "model")


class _Uncached(SourceFileLoader):
    """Compiles a file each time: Python's cache would miss an edit of equal length within the same second."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Compile the file as it is now, without a ``__pycache__`` beside it."""
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code


def network(pair_folder: Path, role: str, sizes: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a pair's ``teacher`` or ``student`` from its model.py, in eval mode with fresh weights.

    Args:
        pair_folder: Where model.py lies.
        role: The function to call.
        sizes: Its keyword arguments, the recipe's ``[network.<role>]``.

    Raises:
        InputError: There is no model.py, no such function in it, or it does not take these sizes.
    """
    path = pair_folder / "model.py"
    build = getattr(import_file(path, f"edgekd_model_{pair_folder.name}"), role, None)
    if not callable(build):
        raise InputError(f"{path} has no function {role}(); add one that returns the {role} as a torch.nn.Module")
    arguments = dict(sizes or {})
    signature = inspect.signature(build)
    # Bound before the call, so that a TypeError inside the user's function is not taken for wrong sizes.
    try:
        signature.bind(**arguments)
    except TypeError as err:
        raise InputError(
            f"network.{role} = {arguments} in the recipe ({err}); the arguments of {role}{signature} in {path} were "
            "expected"
        ) from err
    return as_module(build(**arguments), f"{path}:{role}")


def import_file(path: Path, name: str) -> types.ModuleType:
    """Import a Python file as the module ``name``, as it is now. Raises InputError where there is none."""
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; a pair's folder holds a model.py with the functions teacher() and student()"
        )
    loader = _Uncached(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, "a loader was given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch's exporters look up their module by name
    loader.exec_module(module)
    return module


def load_weights(module: nn.Module, path: Path) -> nn.Module:
    """Load a checkpoint into ``module``, every key, and return it in eval mode as float32.

    Args:
        module: The network.
        path: A safetensors file, or a ``.pt``/``.pth`` state dict, which is read with ``weights_only=True``.

    Raises:
        InputError: The file is not such a checkpoint, needs unpickling, or is for another architecture.
    """
    state = read_state(path)
    expected = module.state_dict()
    missing, unexpected = expected.keys() - state.keys(), state.keys() - expected.keys()
    if missing or unexpected:
        raise InputError(
            f"{path} does not have the keys of {type(module).__name__}: missing {_listed(missing)}; unexpected "
            f"{_listed(unexpected)}. Give a checkpoint of this network, or its sizes in [network]"
        )
    for key, tensor in expected.items():
        if tensor.shape != state[key].shape:
            raise InputError(
                f"{path} has other sizes than {type(module).__name__}: {key} is {tuple(state[key].shape)}, "
                f"{tuple(tensor.shape)} was expected; fix the sizes in [network], or give another checkpoint"
            )
    # Shipped weights are float16; networks compute in float32.
    module.load_state_dict({key: tensor.to(expected[key].dtype) for key, tensor in state.items()})
    return module.eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors or torch file, unwrapped. Raises InputError as ``load_weights``."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; a .safetensors or .pt checkpoint was expected")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as err:
        raise InputError(f"{path} is damaged or no safetensors file ({err}); download or save it again") from err
    except pickle.UnpicklingError as err:
        raise InputError(
            f"{path} holds pickled objects, not only tensors; edgekd never unpickles code: save the network's "
            "state_dict() as safetensors"
        ) from err
    except _TORCH_MAY_RAISE as err:
        raise InputError(
            f"{path} is damaged or no torch checkpoint ({str(err)[:120]!r}); download or save it again"
        ) from err
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(
            f"{path} holds a {type(state).__name__}; a state dict (name → tensor) was expected: save state_dict()"
        )
    return dict(state)


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype, facts: Mapping[str, str]) -> None:
    """Write the state dict of ``module``, as ``save_state`` does."""
    save_state(module.state_dict(), path, dtype, facts)


def save_state(state: Mapping[str, Tensor], path: Path, dtype: torch.dtype, facts: Mapping[str, str]) -> None:
    """Write a state dict, floats in ``dtype``, as ``write_tensors`` does."""
    cast = {
        key: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().contiguous().cpu()
        for key, tensor in state.items()
    }
    write_tensors(path, cast, facts)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors as safetensors, the whole file or nothing. Equal tensors and facts give equal bytes.

    ``facts`` go into the header under one key, because safetensors writes several keys in random order.
    """
    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary, metadata={"edgekd": json.dumps(dict(facts), sort_keys=True)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file that ``write_tensors`` wrote: (tensors, facts).

    Raises:
        InputError: The file is damaged, or something else wrote it.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["edgekd"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, ValueError) as err:
        raise InputError(
            f"{path} is damaged or not a checkpoint that edgekd wrote ({err}); remove it, and run again"
        ) from err


def as_module(built: object, where: str) -> nn.Module:
    """Return what ``where`` built, in eval mode. Raises InputError where it is no torch module."""
    if not isinstance(built, nn.Module):
        raise InputError(f"{where} returned {type(built).__name__}; a torch.nn.Module was expected")
    return built.eval()


def _listed(keys: Iterable[str]) -> str:
    ordered = sorted(keys)
    more = f" and {len(ordered) - _MAX_LISTED} more" if len(ordered) > _MAX_LISTED else ""
    return (", ".join(ordered[:_MAX_LISTED]) or "none") + more
