"""Checkpoints: a torch module from a pair's model.py or a module path, and weights into it; nothing is unpickled."""

from __future__ import annotations

import importlib
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

# What torch's weights-only unpickler lets through on files that are no checkpoints.
_TORCH_MAY_RAISE = (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error)
_NAMED = 4  # keys listed in a message before it says how many more there are


class _Uncached(SourceFileLoader):
    """Compiles a file afresh: Python's own cache takes an edit of equal length in the same second for no edit."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Return the code of the file as it is now, and leave no ``__pycache__`` beside it."""
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
    if not path.is_file():
        raise InputError(f"{path} is missing; a pair's folder holds model.py with teacher() and student()")
    name = f"edgekd_model_{pair_folder.name}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Uncached(name, str(path)))
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and torch's exporters look their module up
    spec.loader.exec_module(module)
    make = getattr(module, role, None)
    if not callable(make):
        raise InputError(f"{path} has no function {role}(); it must return the {role}'s torch module")
    given = dict(sizes or {})
    try:
        inspect.signature(make).bind(**given)
    except TypeError as err:
        raise InputError(
            f"network.{role} = {given}: {err}; {role}{inspect.signature(make)} of {path} was expected"
        ) from err
    return _module(make(**given), f"{path}:{role}")


def network_at(module_path: str) -> nn.Module:
    """Build a network from ``package.module:callable``, a class or function that takes no argument.

    Raises:
        InputError: The path is malformed, or cannot be imported, or does not give a torch module.
    """
    module_name, colon, attribute = module_path.partition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"--module {module_path!r} is not package.module:callable")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script does not see the user's folder otherwise
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as err:
        raise InputError(f"--module {module_path!r}: no module named {err.name!r} can be imported from here") from err
    except AttributeError as err:
        raise InputError(f"--module {module_path!r}: {module_name} has no {attribute!r}") from err
    try:
        return _module(make(), module_path)
    except TypeError as err:
        raise InputError(f"--module {module_path!r} must be callable with no argument ({err})") from err


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
            f"{path} is for another architecture than {type(module).__name__}: "
            f"missing {_name(missing)}; unexpected {_name(unexpected)}"
        )
    for key, tensor in expected.items():
        if tensor.shape != state[key].shape:
            raise InputError(
                f"{path} is for another architecture: {key} is {tuple(state[key].shape)}, "
                f"{tuple(tensor.shape)} was expected by {type(module).__name__}"
            )
    module.load_state_dict({key: tensor.to(expected[key].dtype) for key, tensor in state.items()})
    return module.eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict. Raises InputError as ``load_weights``."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; a .safetensors or .pt checkpoint was expected")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as err:
        raise InputError(f"{path} is not a whole safetensors file ({err})") from err
    except pickle.UnpicklingError as err:
        raise InputError(
            f"{path} holds more than tensors, and edgekd never unpickles code; save its state_dict() as safetensors"
        ) from err
    except _TORCH_MAY_RAISE as err:
        raise InputError(f"{path} is not a whole torch checkpoint ({str(err)[:120]!r})") from err
    # Trainers wrap the state dict; these are the names that BasicSR, timm and Lightning use.
    for wrapper in ("params_ema", "params", "state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"{path} holds {type(state).__name__}, not a state dict of tensors")
    return dict(state)


def save_weights(module: nn.Module, path: Path, dtype: torch.dtype, facts: Mapping[str, str]) -> None:
    """Write a module's state dict as ``save_state`` does."""
    save_state(module.state_dict(), path, dtype, facts)


def save_state(state: Mapping[str, Tensor], path: Path, dtype: torch.dtype, facts: Mapping[str, str]) -> None:
    """Write a state dict, floats in ``dtype``, as ``write_tensors`` does."""
    cast = {
        key: (tensor.to(dtype) if tensor.is_floating_point() else tensor).detach().contiguous().cpu()
        for key, tensor in state.items()
    }
    write_tensors(path, cast, facts)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all: equal tensors and facts give equal bytes.

    ``facts`` go into the header under one key, because safetensors writes several in random order.
    """
    with atomic_path(path) as temporary:
        save_file(dict(tensors), temporary, metadata={"edgekd": json.dumps(dict(facts), sort_keys=True)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what ``write_tensors`` wrote: (tensors, facts).

    Raises:
        InputError: The file is not whole, or was written by something else.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["edgekd"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, ValueError) as err:
        raise InputError(f"{path} is not a whole checkpoint of edgekd's ({err}); remove it to start again") from err


def _module(made: object, where: str) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise InputError(f"{where} gave {type(made).__name__}, a torch.nn.Module was expected")
    return made.eval()


def _name(keys: Iterable[str]) -> str:
    ordered = sorted(keys)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return (", ".join(ordered[:_NAMED]) or "none") + more
