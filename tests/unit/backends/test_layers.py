"""Layers read from TensorRT-RTX's verbose log and from the engine inspector's JSON, as those libraries print them."""

from __future__ import annotations

import json

import pytest

from edgekd.backends._layers import Layer, layer_facts, layers_in_inspection, layers_in_log, summary


def _line(name: str, kind: str, inputs: list[str], constants: list[str]) -> str:
    def tensors(dtypes: list[str]) -> str:
        form = "Format: (NHWC) Channel major format"
        return ", ".join(
            f"{{ Name: t{i}, Dimensions: [1,8,28,28], Strides: [6272,1,224,8], Datatype: {dtype}, {form} }}"
            for i, dtype in enumerate(dtypes)
        )

    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [ {tensors(inputs)}], Constants: [ {tensors(constants)}], "
        f"Outputs: [ {tensors(['Float'])}], TacticName: __myelin_CASK_STUB, StreamId: 0, Metadata: [ONNX Layer: {name}]"
    )


LOG = [
    "Number of target compute capabilities: 1",
    "Layers:\n"
    + "\n".join(
        [
            _line("__myl_Move_myl0_0", "kgen", ["Float"], []),
            _line("conv_a_myl0_1", "correlation", ["Int8"], ["Int8", "Float", "Float"]),
            _line("conv_b_myl0_2", "correlation", ["Half", "Half"], ["Half", "Float"]),
            _line("__myl_CorrSilu_myl0_3", "runtime_fusion", ["Float"], ["Float", "Float"]),
            _line("__myl_DecoMulAddRelu_myl0_4", "runtime_fusion", ["Float"], ["Float"]),
            _line("__myl_AddRelu_myl0_5", "runtime_fusion", ["Float"], ["Float"]),
            _line("up_myl0_6", "deconv", ["Float"], ["Float"]),
            _line("matmul_myl0_7", "gemm", ["Int8"], ["Int8"]),
            _line("entry^bb^signal^3_myl0_8", "signal", [], []),
            _line("entry^bb^wait^4_myl0_9", "wait", [], []),
        ]
    )
    + "\n\nI/O Tensors:\n Name: x, IOMode: Input, DataType: Float, Dimensions: [1,1,28,28]",
]


def test_log_layers_without_bookkeeping() -> None:
    layers = layers_in_log(LOG)
    assert [layer.kind for layer in layers] == [
        "kgen", "correlation", "correlation", "runtime_fusion", "runtime_fusion", "runtime_fusion", "deconv", "gemm",
    ]  # fmt: skip
    assert layers[1] == Layer("conv_a_myl0_1", "correlation", ("Int8",), ("Int8", "Float", "Float"))


def test_facts_of_a_log() -> None:
    assert layer_facts(layers_in_log(LOG)) == {
        "engine_layers": 8,
        "engine_convolutions": 5,
        "int8_convolutions": 1,
        "fp16_convolutions": 1,
        "int8_layers": 2,
        "fp16_layers": 1,
    }


def test_int8_data_with_float_weights_is_not_an_int8_convolution() -> None:
    assert not Layer("conv", "correlation", ("Int8",), ("Float",)).is_int8


def _inspected(kind: str, dtypes: dict[str, str], weights: str) -> dict[str, object]:
    tensor = {"Name": "x", "Dimensions": [1, 8, 28, 28], **dtypes}
    return {
        "Name": "conv + relu",
        "LayerType": f"Cask{kind}",
        "ParameterType": kind,
        "Inputs": [tensor],
        "Weights": {"Type": weights, "Count": 864},
    }


def test_inspection_of_10x_and_11x() -> None:
    text = json.dumps(
        {
            "Layers": [
                _inspected("Convolution", {"Format/Datatype": "Thirty-two wide channel row major Int8 format"}, "Int8"),
                _inspected("Convolution", {"Format": "Row major linear", "Datatype": "Half"}, "Half"),
                {"Name": "pool", "LayerType": "CaskPooling", "ParameterType": "Pooling", "Inputs": [], "Weights": []},
            ],
            "Bindings": ["x", "y"],
        }
    )
    facts = layer_facts(layers_in_inspection(text))
    assert (facts["engine_layers"], facts["engine_convolutions"]) == (3, 2)
    assert (facts["int8_convolutions"], facts["fp16_convolutions"]) == (1, 1)


def test_inspection_without_details_still_counts() -> None:
    assert layer_facts(layers_in_inspection('{"Layers": ["conv + relu", "pool"]}'))["engine_layers"] == 2


def test_a_log_without_layers() -> None:
    assert layers_in_log(["Number of target compute capabilities: 1", ""]) == []
    assert layer_facts([])["engine_layers"] == 0


@pytest.mark.parametrize(
    ("layer", "is_convolution"),
    [
        (Layer("conv", "correlation", (), ()), True),
        (Layer("up", "deconv", (), ()), True),
        (Layer("conv", "Convolution", (), ()), True),
        (Layer("__myl_CorrSilu_0", "runtime_fusion", (), ()), True),
        (Layer("__myl_AddRelu_0", "runtime_fusion", (), ()), False),
        (Layer("__myl_CorrSilu_0", "kgen", (), ()), False),
        (Layer("Corr", "runtime_fusion", (), ()), False),
    ],
)
def test_what_counts_as_a_convolution(layer: Layer, is_convolution: bool) -> None:
    assert layer.is_convolution == is_convolution


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((3, 3, 2, 1, 9), "3 convolutions: 2 INT8, 1 FP16; 9 layers"),
        ((3, 2, 0, 0, 5), "2 convolutions (the graph has 3): 2 FP32; 5 layers"),
        ((0, 0, 0, 0, 1), "0 convolutions: none; 1 layers"),
    ],
)
def test_summary(counts: tuple[int, ...], line: str) -> None:
    names = ("convolutions", "engine_convolutions", "int8_convolutions", "fp16_convolutions", "engine_layers")
    assert summary(dict(zip(names, counts, strict=True))) == line
