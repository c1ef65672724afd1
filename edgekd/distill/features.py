"""Taps: a network whose features are kept, by module path, while it runs; and one that goes on from a replaced tap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgekd.core.errors import InputError, UnknownName
from edgekd.distill.method import INPUT, OUTPUT

_BEFORE = ":input"


class _Reached(Exception):
    """Carries the value of the tap at which a resumed network stops."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


class Tapped:
    """A network and its named taps.

    Attributes:
        network: The module, which this object hooks and otherwise leaves as it is.
    """

    def __init__(self, network: nn.Module, paths: Mapping[str, str], role: str) -> None:
        """Hook a network.

        Args:
            network: Any module of one input and one output.
            paths: Tap → module path; with ":input" behind it, what goes into that module.
            role: For messages.

        Raises:
            UnknownName: A path is no module of the network; the message offers the nearest.
            InputError: A tap takes one of the two names that are always there.
        """
        self.network, self.role = network, role
        self._kept: dict[str, Tensor] = {}
        self._replaced: tuple[str, Tensor] | None = None
        self._until: str | None = None
        self._given: Tensor | None = None
        modules = dict(network.named_modules())
        for name, path in paths.items():
            if name in (INPUT, OUTPUT):
                raise InputError(f"tap {name!r} is always there; give taps.{name} another name")
            bare = path.removesuffix(_BEFORE)
            if bare not in modules or not bare:
                raise UnknownName.among(f"tap of the {role}", path, [key for key in modules if key])
            if bare == path:
                modules[bare].register_forward_hook(self._after(name))
            else:
                modules[bare].register_forward_pre_hook(self._before(name))

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Run the network and return "input", every tap, and "output"."""
        self._kept, self._given = {}, x
        output = self.network(x)
        return {INPUT: x, **self._kept, OUTPUT: output}

    def resume(self, at: str, value: Tensor, until: str) -> Tensor:
        """Run the network on its last input with tap ``at`` replaced, and return tap ``until``, or the output."""
        kept, self._kept = self._kept, {}
        self._replaced, self._until = (at, value), until
        try:
            found: Tensor = self.network(self._given)
        except _Reached as stop:
            found = stop.value
        finally:
            self._replaced, self._until, self._kept = None, None, kept
        return found

    def _passed(self, name: str, value: Tensor) -> Tensor | None:
        """Keep a tap's value; return what is to stand in its place, or None."""
        if name == self._until:
            raise _Reached(value)
        self._kept[name] = value
        if self._replaced is not None and self._replaced[0] == name:
            return self._replaced[1].to(value.dtype)
        return None

    def _after(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            return self._passed(name, _tensor(output, name, self.role))

        return hook

    def _before(self, name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            value = self._passed(name, _tensor(inputs, name, self.role))
            return None if value is None else (value, *inputs[1:])

        return hook


def _tensor(found: Any, name: str, role: str) -> Tensor:
    first = found[0] if isinstance(found, (tuple, list)) and found else found
    if not isinstance(first, Tensor):
        raise InputError(
            f"tap {name!r} of the {role} gives {type(first).__name__}; a module that gives a tensor was expected"
        )
    return first
