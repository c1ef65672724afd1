"""NetworkInfo: what later stages must know of a network and its graph does not contain. Export to engine carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekd.core.input_contract import InputContract


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """Description of a network, the same in every stage and on the board.

    A stage passes it on with ``dataclasses.replace``; no field is copied by hand.

    Attributes:
        role: "teacher", "student", or "model" for a network that is not part of a pair.
        title: The pair it belongs to, or the name of its file.
        task: A file of ``edgekd/tasks/``; "" if the task is unknown.
        task_options: The recipe's ``[task]``.
        includes_preprocessing: Whether the graph begins with the task's preprocessing and ends with its postprocessing,
            see ``core.preprocessing``.
        precision: The quantization scheme; "as given" before quantization.
        cost: Counted on the graph before quantization: ``parameters``, ``macs``, ``flops`` ...
        onnx_bytes: Size of the ONNX file that an engine was built from; 0 before it is built.
        input: How an image is fed; None where the task alone decides, or the input is no image.
        input_assumed: The fields of ``input`` that nobody gave.
    """

    role: str = "model"
    title: str = ""
    task: str = ""
    task_options: Mapping[str, Any] = field(default_factory=dict)
    includes_preprocessing: bool = False
    precision: str = "as given"
    cost: Mapping[str, float] = field(default_factory=dict)
    onnx_bytes: int = 0
    input: InputContract | None = None
    input_assumed: tuple[str, ...] = ()
