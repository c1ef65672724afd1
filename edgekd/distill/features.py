"""Feature extraction: runs a network and returns features by name, or runs it on from a feature that is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgekd.core.errors import InputError, UnknownName
from edgekd.distill.method import INPUT, OUTPUT

_INPUT_SUFFIX = ":input"


class _StopForward(Exception):
    """Ends a forward pass early and carries the feature it ended at."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value


class FeatureExtractor:
    """A network with hooks on its feature layers.

    Attributes:
        network: The module; nothing but its hooks is changed.
        role: "student" or "teacher", for messages.
    """

    def __init__(self, network: nn.Module, layers: Mapping[str, str], role: str) -> None:
        """Hook a network.

        Args:
            network: Any module with one input and one output.
            layers: Feature name → module path, as ``named_modules`` gives it. "PATH:input" takes the module's input
                instead of its output.
            role: "student" or "teacher", for messages.

        Raises:
            UnknownName: The network has no module at a path; the message offers the nearest.
            InputError: A feature is called "input" or "output", which always exist.
        """
        self.network, self.role = network, role
        self._features: dict[str, Tensor] = {}
        self._network_input: Tensor | None = None
        self._replacement: tuple[str, Tensor] | None = None
        self._stop_at: str | None = None
        modules = dict(network.named_modules())
        for name, layer in layers.items():
            if name in (INPUT, OUTPUT):
                raise InputError(f"feature {name!r} always exists; give feature_layers.{name} another name")
            path = layer.removesuffix(_INPUT_SUFFIX)
            if path not in modules or not path:  # "" is the network itself
                raise UnknownName.among(f"feature layer of the {role}", layer, [key for key in modules if key])
            if path == layer:
                modules[path].register_forward_hook(self._output_hook(name))
            else:
                modules[path].register_forward_pre_hook(self._input_hook(name))

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Run the network on ``x`` (N, C, H, W) and return "input", every feature in forward order, and "output"."""
        self._features, self._network_input = {}, x
        output = self.network(x)
        return {INPUT: x, **self._features, OUTPUT: output}

    def run_from(self, start: str, value: Tensor, end: str) -> Tensor:
        """Run the network on its last input with one feature replaced, and return a later one.

        Args:
            start: Name of the feature that is replaced.
            value: (N, ...), what replaces it; the shape of the original.
            end: Name of the feature that is returned; the forward pass stops there. May be "output".
        """
        # The hooks record this run too; the step's own features must survive it.
        features_of_step, self._features = self._features, {}
        self._replacement, self._stop_at = (start, value), end
        try:
            result: Tensor = self.network(self._network_input)
        except _StopForward as stop:  # the only way out of a forward pass before its end
            result = stop.value
        finally:
            self._replacement, self._stop_at, self._features = None, None, features_of_step
        return result

    def _record(self, name: str, value: Tensor) -> Tensor | None:
        """Record a feature; return its replacement, or None to leave it."""
        if name == self._stop_at:
            raise _StopForward(value)
        self._features[name] = value
        if self._replacement is not None and self._replacement[0] == name:
            return self._replacement[1].to(value.dtype)  # the forward pass may run in bfloat16
        return None

    def _output_hook(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            return self._record(name, _first_tensor(output, name, self.role))

        return hook

    def _input_hook(self, name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            replacement = self._record(name, _first_tensor(inputs, name, self.role))
            # None tells torch to keep the inputs.
            return None if replacement is None else (replacement, *inputs[1:])

        return hook


def _first_tensor(value: Any, name: str, role: str) -> Tensor:
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    if not isinstance(first, Tensor):
        raise InputError(
            f"feature {name!r} of the {role} is a {type(first).__name__}; a module that returns a tensor was expected"
        )
    return first
