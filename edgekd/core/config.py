"""The sections of a recipe as dataclasses, one per stage: fields are the schema, their values the defaults.

They are separate from ``core.recipe`` because a board, which has no TOML reader, measures with the same ``[bench]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekd.core.errors import RecipeError
from edgekd.core.input_contract import InputContract
from edgekd.core.tensor import Dim

_BIG = 1e9  # stands for "no upper limit"


def _bounded(section: object, **limits: tuple[float, float]) -> None:
    """Raise RecipeError if a field is outside (lowest, highest); ``schema.parse`` adds the section's name."""
    for name, (low, high) in limits.items():
        value = getattr(section, name)
        if not low <= value <= high:
            expected = f"{low:g} or more" if high == _BIG else f"{low:g} to {high:g}"
            raise RecipeError(f"{name} = {value!r}; {expected} was expected")


ROLES = ("teacher", "student")
Role = Literal["teacher", "student"]


@dataclass(frozen=True, slots=True)
class PairConfig:
    """``[pair]``: the task of the pair, its two checkpoints, and a description in one line."""

    task: str
    summary: str = ""
    teacher: str = "weights/teacher.safetensors"
    student: str = "weights/student.safetensors"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """``[network]``: keyword arguments of ``teacher()`` and ``student()`` in the pair's model.py, such as sizes."""

    teacher: Mapping[str, Any] = field(default_factory=dict)
    student: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """``[data]``: the pair's own folders of images, and the layout of a user's training data.

    Attributes:
        calibration: Images that INT8 is calibrated on.
        evaluation: Images that accuracy is measured on; disjoint from ``calibration``.
        layout: Layout and augmentation of ``distill --data`` folders: a file in ``edgekd/datasets/layouts/``.
        options: Options of that layout.
        evaluation_options: Options that differ for the pair's own ``evaluation`` folder.
    """

    calibration: str | None = None
    evaluation: str | None = None
    layout: str = "hr_patches"
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluation_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeatureLayerConfig:
    """One feature that student and teacher are compared by: the path of a module in each, as in ``named_modules``.

    A path selects the module's output; "PATH:input" selects its input, for a feature before an activation.
    """

    student: str
    teacher: str


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One network's training.

    Attributes:
        method: A file in ``edgekd/distill/methods/``; ``options`` are the method's options, ``feature_layers`` the
            features it compares.
        teacher_mode: "train" runs the teacher with batch statistics and dropout, still without gradients.
        data: Overrides ``[data.options]`` for this network, such as a larger patch for the teacher.
        optimizer: ``betas`` are Adam's and AdamW's; ``momentum`` is SGD's, with Nesterov's step.
        schedule: Of the learning rate after ``warmup_steps``: "cosine" down to 1 %, "poly" (1 - t)^0.9, "step" x0.1
            at each of ``milestones`` (shares of all steps), "constant".
        lr_multipliers: Prefix of a parameter's name → factor of its learning rate; "adaptors" are the method's own
            parameters.
        ema: Decay of the moving average of the weights, which is then the result; 0 uses no average.
        checkpoint_selection: Whether the last weights or those with the best validation are the result.
        precision: Of autocast; "bf16" keeps the weights in float32. ``teacher_precision`` is that of the frozen
            teacher, "" the same: on CPUs, depthwise convolutions are slower in bf16 and attention is twice as fast.
        validate_every: Steps between validations; 0 validates only at the end.
        workers: Number of processes that read data.
    """

    method: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    feature_layers: Mapping[str, FeatureLayerConfig] = field(default_factory=dict)
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
    lr_multipliers: Mapping[str, float] = field(default_factory=dict)
    gradient_clip: float = 1.0
    ema: float = 0.0
    checkpoint_selection: Literal["last", "best"] = "last"
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
    """Fine-tuning on unlabeled images (``distill --unlabeled-images``): what differs from the student's training.

    ``data`` are options of the data layout for images without labels.
    """

    steps: int = 500
    learning_rate: float = 1e-4
    warmup_steps: int = 20
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _bounded(self, steps=(1, _BIG), learning_rate=(1e-9, 10), warmup_steps=(0, _BIG))

    def changes(self) -> dict[str, Any]:
        """Return the fields of TrainConfig that differ, with their values."""
        return {"checkpoint_selection": "last", **{name: getattr(self, name) for name in AdaptConfig.__slots__}}


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """``[distill.teacher]``, ``[distill.student]``, and ``[distill.adapt]`` for a user's own images."""

    teacher: TrainConfig = TrainConfig()
    student: TrainConfig = TrainConfig(method="logits")
    adapt: AdaptConfig = AdaptConfig()


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """``[export]``: checkpoint → ONNX.

    Attributes:
        shape: Shape of the input; a string is a named dynamic dimension, whose range is in ``ranges``.
        ranges: Dimension name → [min, opt, max].
        opset: 0 takes the newest that the target's TensorRT reads.
        exporter: "auto" tries torch's dynamo exporter, then the TorchScript one; the manifest names the one used.
        tolerance: Largest allowed |ONNX - torch|, as a share of the output's largest magnitude.
        include_preprocessing: Make the task's preprocessing and postprocessing part of the graph, which then takes an
            image (1, H, W, 3) uint8 at the size of ``shape`` and returns what people look at.
    """

    shape: tuple[Dim, ...] = (1, 3, 128, 128)
    ranges: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    opset: int = 0
    exporter: Literal["auto", "dynamo", "torchscript"] = "auto"
    tolerance: float = 1e-4
    include_preprocessing: bool = False

    def __post_init__(self) -> None:
        _bounded(self, opset=(0, 64), tolerance=(0, 1))
        for dim in self.shape:
            if isinstance(dim, int) and dim < 1:
                raise RecipeError(f"shape = {list(self.shape)}; sizes of 1 or more were expected")


@dataclass(frozen=True, slots=True)
class SimplifyConfig:
    """``[simplify]``: ONNX → smaller ONNX; ``tolerance`` as in export. ``enabled = false`` skips the stage."""

    enabled: bool = True
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        _bounded(self, tolerance=(0, 1))


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """ONNX → ONNX that carries its precision; each scheme is a file in ``edgekd/quantize/schemes/``.

    Attributes:
        schemes: The schemes to make, each from the same simplified ONNX.
        exclude_nodes: Node names, or ``fnmatch`` patterns of them, that stay in FP32.
        options: Scheme → options of its own ``Config``: ``[quantize.options.int8]`` in a recipe.
    """

    schemes: tuple[str, ...] = ("fp32", "fp16", "int8")
    exclude_nodes: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """``[build]``: ONNX → engine. ``backends`` are files in ``edgekd/backends/``, ``target`` in ``edgekd/targets/``."""

    target: str = "orin_nano_8gb"
    backends: tuple[str, ...] = ("onnxruntime", "tensorrt_rtx")
    threads: int = 0

    def __post_init__(self) -> None:
        _bounded(self, threads=(0, 4096))


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """``[bench]``: engine → result.

    Attributes:
        backend: The backend whose engines are timed.
        processes: Number of fresh processes, each of which times all candidates: load address, memory layout and thread
            placement are drawn once per process.
        min_rounds: Fewest rounds through all candidates in a process, in balanced order (A B B A). More follow until
            the intervals of the ratios are as narrow as ``ci_half_width``.
        ci_half_width: Wanted half-width of a ratio's 95 % interval, as a share; 0 uses the whole budget.
        block_ms: Length of one candidate's block; it has at least ``min_iterations`` inferences.
        min_iterations: See ``block_ms``.
        warmup_ms: Shortest warm-up of a candidate in a process. It continues until the latency is steady, at most for
            ten times as long or six windows, whichever is longer.
        budget_s: For all processes together. No round starts after it is used up, but each process runs two.
        threads: Intra-op threads of a CPU backend; 0 uses every core.
        scenario: What one timed query is, by MLPerf's names: see ``bench/scenarios.py``.
        streams: Concurrent inferences, each in a session of its own; only for scenario = "offline".
        end_to_end: Also time preprocessing and postprocessing, if the task is known.
        reference_workload: Also time a fixed network in every round, to compare with results of another time.
        max_background_load: Refuse rounds in which other processes used more CPU than this, as a share of all cores
            that this process may use; without it, background load is only noted.
        refuse_throttled: Refuse rounds that ended above the board's throttling temperature, or below the clock that its
            limits pin; otherwise they are only noted.
        energy_s: Length of each process's energy window, after an idle period half as long. It is not part of the
            budget, and is skipped if there is no sensor. 0 measures no energy.
    """

    backend: str = "onnxruntime"
    processes: int = 7
    min_rounds: int = 6
    ci_half_width: float = 0.01
    block_ms: float = 50.0
    min_iterations: int = 1
    warmup_ms: float = 100.0
    budget_s: float = 60.0
    threads: int = 0
    scenario: Literal["single_stream", "multi_stream", "offline"] = "single_stream"
    streams: int = 1
    end_to_end: bool = True
    reference_workload: bool = True
    max_background_load: float | None = None
    refuse_throttled: bool = False
    energy_s: float = 1.0

    def __post_init__(self) -> None:
        _bounded(self, streams=(1, 1024))
        if self.streams > 1 and self.scenario != "offline":
            raise RecipeError(
                f"streams = {self.streams} with scenario = {self.scenario!r}, which has one stream; "
                'write scenario = "offline"'
            )
        _bounded(self, processes=(1, 1000), min_rounds=(1, _BIG), min_iterations=(1, _BIG), threads=(0, 4096))
        _bounded(
            self, ci_half_width=(0, 10), block_ms=(0, _BIG), warmup_ms=(0, _BIG), budget_s=(0, _BIG), energy_s=(0, 3600)
        )
        if self.max_background_load is not None:
            _bounded(self, max_background_load=(0, 1))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a run needs, parsed before its first stage starts."""

    pair: PairConfig | None = None
    network: NetworkConfig = NetworkConfig()
    input: InputContract = field(default_factory=InputContract)
    task: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = DataConfig()
    distill: DistillConfig = DistillConfig()
    export: ExportConfig = ExportConfig()
    simplify: SimplifyConfig = SimplifyConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    build: BuildConfig = BuildConfig()
    bench: BenchConfig = BenchConfig()
