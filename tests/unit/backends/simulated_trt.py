"""A simulated ``tensorrt`` module: the names that a build and an open use, with a network of one convolution."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

INSPECTION = json.dumps(
    {"Layers": [{"Name": "conv", "ParameterType": "Convolution", "Inputs": [{"Datatype": "Int8"}], "Weights": []}]}
)


class Logger:
    """Stands in for ``trt.ILogger``."""

    ERROR, INTERNAL_ERROR, WARNING, INFO = "error", "internal error", "warning", "info"


class ParserError:
    """Stands in for ``trt.ParserError``."""

    def __init__(self, description: str, name: str = "", operator: str = "") -> None:
        self.desc, self.node_name, self.node_operator = (lambda: description), (lambda: name), (lambda: operator)


class SimulatedTensorRT:
    """The module. What its parser and builder do is set by the test.

    Attributes:
        parser_errors: Why the parser refuses the graph; it accepts it if there are none.
        messages: (severity, text) that are logged while building.
        engine: What the builder returns; None if it refuses.
        opened: What deserializing returns.
        input_shape: Shape of the network's one input, "x".
        profiles: Filled with (input, min, opt, max) of each optimization profile.
        build_config: Filled with the builder and the configuration that a build used.
    """

    __name__ = "tensorrt"
    __version__ = "10.3.0"
    ILogger = Logger
    LayerInformationFormat = SimpleNamespace(JSON="json")
    LayerType = SimpleNamespace(CONVOLUTION="convolution", DECONVOLUTION="deconvolution")
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")

    def __init__(self) -> None:
        self.parser_errors: list[ParserError] = []
        self.messages: list[tuple[str, str]] = []
        self.engine: bytes | None = b"plan"
        self.opened: Any = SimpleNamespace(
            create_engine_inspector=lambda: SimpleNamespace(get_engine_information=lambda form: INSPECTION)
        )
        self.input_shape: tuple[int, ...] = (1, 3)
        self.profiles: list[tuple[Any, ...]] = []
        self.build_config = SimpleNamespace()

    def Builder(self, log: Any) -> SimpleNamespace:  # noqa: N802 -- TensorRT's name
        """Return a builder."""
        layers = [SimpleNamespace(type=kind) for kind in ("convolution", "activation", "deconvolution")]
        tensor = SimpleNamespace(name="x", shape=self.input_shape)
        network = SimpleNamespace(
            num_layers=len(layers), get_layer=layers.__getitem__, num_inputs=1, get_input=lambda index: tensor
        )
        builder = SimpleNamespace(max_threads=0)

        def create_network(flags: int) -> SimpleNamespace:
            assert flags == 1 << self.NetworkDefinitionCreationFlag.STRONGLY_TYPED
            return network

        def create_optimization_profile() -> SimpleNamespace:
            return SimpleNamespace(set_shape=lambda *shapes: self.profiles.append(shapes))

        def build_serialized_network(network: Any, config: Any) -> bytes | None:
            for severity, text in self.messages:
                log.log(severity, text)
            self.build_config = SimpleNamespace(builder=builder, config=config)
            return self.engine

        builder.create_network = create_network
        builder.create_builder_config = lambda: SimpleNamespace(add_optimization_profile=lambda profile: None)
        builder.create_optimization_profile = create_optimization_profile
        builder.build_serialized_network = build_serialized_network
        return builder

    def OnnxParser(self, network: Any, log: Any) -> SimpleNamespace:  # noqa: N802 -- TensorRT's name
        """Return a parser."""

        def parse_from_file(path: str) -> bool:
            return Path(path).is_file() and not self.parser_errors

        errors = self.parser_errors
        return SimpleNamespace(parse_from_file=parse_from_file, num_errors=len(errors), get_error=errors.__getitem__)

    def Runtime(self, log: Any) -> SimpleNamespace:  # noqa: N802 -- TensorRT's name
        """Return a runtime."""

        def deserialize_cuda_engine(engine: bytes) -> Any:
            for severity, text in self.messages:
                log.log(severity, text)
            return self.opened

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)
