"""The sections of a recipe as types: one a stage, its fields the schema, their values the defaults.

Apart from ``recipe`` so that a board, which has no TOML reader, measures with the same ``[bench]`` as a workstation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekd.core.errors import RecipeError
from edgekd.core.tensor import Dim

_BIG = 1e9


def _bounded(section: object, **limits: tuple[float, float]) -> None:
    """Raise RecipeError where a field is outside (lowest, highest); ``schema.parse`` names the section as well."""
    for name, (low, high) in limits.items():
        value = getattr(section, name)
        if not low <= value <= high:
            expected = f"{low:g} or more" if high == _BIG else f"{low:g} to {high:g}"
            raise RecipeError(f"{name} = {value!r}; {expected} was expected")


ROLES = ("teacher", "student")
Role = Literal["teacher", "student"]


@dataclass(frozen=True, slots=True)
class PairConfig:
    """What the pair is: the task it does, its two checkpoints, one line for people."""

    task: str
    summary: str = ""
    teacher: str = "weights/teacher.safetensors"
    student: str = "weights/student.safetensors"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """``[network]``: keyword arguments for ``teacher()`` and ``student()`` of the pair's model.py, its sizes."""

    teacher: Mapping[str, Any] = field(default_factory=dict)
    student: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The pair's own folders of pictures, and how a user's training data lies.

    Attributes:
        calibration: What INT8 is calibrated on.
        evaluation: Disjoint from it, what accuracy is measured on.
        assumed_scale: For a foreign ONNX file only, whose preprocessing nobody told us: pictures are fed as
            0..assumed_scale.
        layout: How ``distill --data`` folders lie and are augmented: a file in ``edgekd/datasets/layouts/``.
        options: Of that layout.
        evaluation_options: What of them differs for the pair's own ``evaluation`` folder.
    """

    calibration: str | None = None
    evaluation: str | None = None
    assumed_scale: float = 1.0
    layout: str = "hr_patches"
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluation_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _bounded(self, assumed_scale=(1e-6, 1e6))


@dataclass(frozen=True, slots=True)
class TapConfig:
    """One feature that teacher and student are compared at: a module's path in each, as ``named_modules`` gives it.

    A path's module gives its output; "PATH:input" gives what goes into it, for a feature before an activation.
    """

    student: str
    teacher: str


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One network's training.

    Attributes:
        method: A file in ``edgekd/distill/methods/``; ``options`` are its own, ``taps`` the features it compares.
        teacher_mode: "train" runs the teacher on batch statistics and with dropout, still without gradients.
        data: Overrides ``[data.options]`` for this network, such as a larger patch for the teacher.
        optimizer: ``betas`` are Adam's and AdamW's; ``momentum`` is SGD's, with Nesterov's step.
        schedule: After ``warmup_steps``: "cosine" to 1 %, "poly" (1 - t)^0.9, "step" x0.1 at each of ``milestones``
            (shares of all steps), "constant".
        rates: Prefix of a parameter's name → factor on its learning rate; "adaptors" are the method's own.
        ema: Decay of the weights' moving average, which then is the result; 0 is none.
        keep: Whether the last or the best validated weights are the result.
        precision: Of autocast; "bf16" keeps the weights in float32. ``teacher_precision`` is the frozen teacher's, ""
            the same: on CPUs, depthwise convolutions are slower in bf16 and attention is twice as fast.
        validate_every: Steps between validations; 0 validates at the end alone.
        workers: Processes that read data.
    """

    method: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    taps: Mapping[str, TapConfig] = field(default_factory=dict)
    teacher_mode: Literal["eval", "train"] = "eval"
    data: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 10000
    batch_size: int = 16
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "poly", "step", "constant"] = "cosine"
    milestones: tuple[float, ...] = (0.4, 0.8)
    warmup_steps: int = 200
    rates: Mapping[str, float] = field(default_factory=dict)
    gradient_clip: float = 1.0
    ema: float = 0.0
    keep: Literal["last", "best"] = "last"
    precision: Literal["fp32", "bf16"] = "bf16"
    teacher_precision: Literal["", "fp32", "bf16"] = ""
    validate_every: int = 0
    checkpoint_every: int = 500
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("steps", "batch_size", "checkpoint_every"), (1, _BIG))
        _bounded(self, **counts, learning_rate=(1e-9, 10), warmup_steps=(0, _BIG), validate_every=(0, _BIG))
        _bounded(self, gradient_clip=(1e-6, _BIG), seed=(0, _BIG), ema=(0, 0.999999), momentum=(0, 1))
        _bounded(self, weight_decay=(0, 10), workers=(0, 256))


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    """``distill --images``: how fine-tuning on unlabelled pictures differs from the student's own training.

    ``data`` are options of ``edgekd/datasets/layouts/unlabelled.py``.
    """

    steps: int = 500
    learning_rate: float = 1e-4
    warmup_steps: int = 20
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _bounded(self, steps=(1, _BIG), learning_rate=(1e-9, 10), warmup_steps=(0, _BIG))

    def changes(self) -> dict[str, Any]:
        """Return the fields of TrainConfig that change."""
        return {"keep": "last", **{name: getattr(self, name) for name in AdaptConfig.__slots__}}


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """``[distill.teacher]``, ``[distill.student]``, and ``[distill.adapt]`` for a user's own pictures."""

    teacher: TrainConfig = TrainConfig()
    student: TrainConfig = TrainConfig(method="logits")
    adapt: AdaptConfig = AdaptConfig()


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """Checkpoint → ONNX.

    Attributes:
        shape: The input's shape; a string is a named dynamic dimension, whose range stands in ``ranges``.
        ranges: Dimension name → [min, opt, max].
        opset: 0 takes the newest that the target's TensorRT reads.
        exporter: "auto" tries torch's dynamo exporter, then the TorchScript one, and the manifest says which it was.
        tolerance: Largest allowed |ONNX - torch|, as a share of the output's largest magnitude.
        embed_preprocess: The graph takes the camera's picture, (1, H, W, 3) uint8 at the size of ``shape``, and gives
            what is looked at: the task's own preprocessing and postprocessing become part of it.
    """

    shape: tuple[Dim, ...] = (1, 3, 128, 128)
    ranges: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    opset: int = 0
    exporter: Literal["auto", "dynamo", "torchscript"] = "auto"
    tolerance: float = 1e-4
    embed_preprocess: bool = False

    def __post_init__(self) -> None:
        _bounded(self, opset=(0, 64), tolerance=(0, 1))
        for dim in self.shape:
            if isinstance(dim, int) and dim < 1:
                raise RecipeError(f"shape = {list(self.shape)}; sizes of 1 or more were expected")


@dataclass(frozen=True, slots=True)
class SimplifyConfig:
    """ONNX → smaller ONNX; ``tolerance`` as in export. ``enabled = false`` passes the input on."""

    enabled: bool = True
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        _bounded(self, tolerance=(0, 1))


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """ONNX → ONNX that carries its precision; each scheme is a file in ``edgekd/quantize/schemes/``.

    Attributes:
        schemes: What ``run`` makes, each from the same simplified ONNX.
        scheme: What ``edgekd quantize`` makes.
        calibration: How activation ranges are read from the samples.
        percentile: Used by calibration = "percentile".
        keep: Node names, or ``fnmatch`` patterns of them, that stay in FP32.
    """

    schemes: tuple[str, ...] = ("fp32", "fp16", "int8")
    scheme: str = "int8"
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: float = 99.99
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _bounded(self, percentile=(1, 100))


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """ONNX → engine. ``backends`` are files in ``edgekd/backends/``, ``target`` one in ``edgekd/targets/``."""

    target: str = "orin_nano_8gb"
    backends: tuple[str, ...] = ("onnxruntime", "tensorrt_rtx")
    threads: int = 0

    def __post_init__(self) -> None:
        _bounded(self, threads=(0, 4096))


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """Engine → result.

    Attributes:
        backend: Which backend's engines are timed.
        processes: Fresh processes that each time all candidates: load address, memory layout and thread placement are
            drawn once in each.
        blocks: Fewest rounds through all candidates in a process, in balanced order (A B B A); more until the ratios
            are as narrow as ``width``.
        width: Half of the 95 % interval that a ratio should have at the end, as a share; 0 spends the whole budget.
        block_ms: Length of one candidate's block; at least ``min_iterations`` inferences.
        min_iterations: See ``block_ms``.
        warmup_ms: Shortest warm-up of a candidate in a process; it goes on until the latency is steady, for ten times
            as long or six windows of three inferences at most.
        budget_s: For all processes together; no new round is begun after this long, but each runs two.
        threads: Intra-op threads of a CPU backend; 0 is every core.
        scenario: MLPerf's name: what one timed query is, see ``bench/scenarios.py``.
        streams: Inferences side by side, each in a session of its own; of scenario = "offline" alone.
        stages: Also time preprocessing and postprocessing, where the task is known.
        yardstick: Also time a fixed network in every round, for comparison with results of another time.
        max_foreign_load: Rounds in which others used more of the CPU than this are refused, as a share of all cores
            this process may run on; where it is not set, foreign load is only noted.
        refuse_throttled: Rounds that ended above the board's throttling temperature, or below the clock that its limits
            pin, are refused; where it is false they are only noted.
        energy_s: Length of each process's window of energy, whose rest before it is half as long; beside the budget,
            and spent only where there is a sensor. 0 measures no energy.
    """

    backend: str = "onnxruntime"
    processes: int = 7
    blocks: int = 6
    width: float = 0.01
    block_ms: float = 50.0
    min_iterations: int = 2
    warmup_ms: float = 100.0
    budget_s: float = 90.0
    threads: int = 0
    scenario: Literal["single_stream", "multi_stream", "offline"] = "single_stream"
    streams: int = 1
    stages: bool = True
    yardstick: bool = True
    max_foreign_load: float | None = None
    refuse_throttled: bool = False
    energy_s: float = 1.0

    def __post_init__(self) -> None:
        _bounded(self, streams=(1, 1024))
        if self.streams > 1 and self.scenario != "offline":
            raise RecipeError(
                f"streams = {self.streams} with scenario = {self.scenario!r}; it answers one query at a time, "
                'in one stream: write scenario = "offline"'
            )
        _bounded(self, processes=(1, 1000), blocks=(1, _BIG), min_iterations=(1, _BIG), threads=(0, 4096))
        _bounded(self, width=(0, 10), block_ms=(0, _BIG), warmup_ms=(0, _BIG), budget_s=(0, _BIG), energy_s=(0, 3600))
        if self.max_foreign_load is not None:
            _bounded(self, max_foreign_load=(0, 1))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a run needs to know, parsed before its first stage starts."""

    pair: PairConfig | None = None
    network: NetworkConfig = NetworkConfig()
    task: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    export: ExportConfig = ExportConfig()
    simplify: SimplifyConfig = SimplifyConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    build: BuildConfig = BuildConfig()
    bench: BenchConfig = BenchConfig()
