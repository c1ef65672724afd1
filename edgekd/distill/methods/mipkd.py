"""MiPKD: the student's features and blocks are mixed at random into the teacher's, and the mixture must do as well.

Formula, at position k of K (a feature layer), with encoders E_s, E_t and decoders D_t, D_s of 3x3 convolutions, and a
random I in {0, 1} for each channel and pixel:
    Z_k  = I * E_s(F_s) + (1 - I) * E_t(F_t)
    L    = task * criterion(S(x), y) + teacher * |S(x) - T(x)| + feature * sum_k |D_t(Z_k) - F_t|
         + block * |M(x) - T(x)| + autoencoder * sum_k (|D_t(E_t(F_t)) - F_t| + |D_s(E_s(F_s)) - F_s|)
M starts from the first position's mixture and continues through the student (R_k = 1, from D_s(Z_k)) or the teacher
(R_k = 0, from D_t(Z_k)); R_k is drawn anew at each position, each step. Where the path changes networks, the feature it
has computed replaces its network's own feature in Z_k. Every | | is a mean of absolute differences.

Source: S. Li et al., "Knowledge Distillation with Multi-granularity Mixture of Priors for Image Super-Resolution",
arXiv 2404.02573 (ICLR 2025). We know of no code by the authors. Where its published versions are silent, the choices
are ours: depth and width of encoders and decoders, the mask's share, the probability of R_k, teacher = 1, the
autoencoder's formula and weight.
Differs from the paper: while the path stays in one network it runs on without a new mixture, which saves forward
passes; two decoders where the networks' widths differ, one where they are equal, and then the autoencoder has the
teacher's half alone. The autoencoder's gradient trains encoders and decoders only.
Floor: for student = teacher the terms feature, block and autoencoder are as large as the encoders' and decoders' own
error, 0 when D_t(E_s(F)) = D_t(E_t(F)) = F; teacher is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import OUTPUT, Features, LossContext, RunFrom, output_distance

NEEDS_TEACHER = True
_MIN_MAGNITUDE = 1e-6  # relative errors of an all-zero feature stay finite


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, and how mixtures are made; a weight of 0 removes its term.

    Attributes:
        task, teacher, feature, block, autoencoder: Weights, as in the formula.
        relative: Divide each position's feature and autoencoder errors by the mean magnitude of the feature that is
            rebuilt; the paper's errors are absolute.
        width: Channels of the encoders' common space; 0 takes the teacher's.
        layers: 3x3 convolutions in each encoder and decoder, with ReLU between.
        student_share: Share of a mixture that comes from the student, 0 to 1.
        student_blocks: Probability that the path continues through the student, 0 to 1.
        path: "positions" draws the network anew at each position; "once" enters at one random position and stays in one
            network, which costs one forward pass.
    """

    task: float = 1.0
    teacher: float = 1.0
    feature: float = 1.0
    block: float = 0.1
    autoencoder: float = 1.0
    relative: bool = False
    width: int = 0
    layers: int = 1
    student_share: float = 0.5
    student_blocks: float = 0.5
    path: Literal["positions", "once"] = "positions"

    def __post_init__(self) -> None:
        for name in ("student_share", "student_blocks"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"{name} = {getattr(self, name)!r}; 0 to 1 was expected")
        if self.width < 0:
            raise RecipeError(f"width = {self.width}; 0 or more was expected")
        if self.layers < 1:
            raise RecipeError(f"layers = {self.layers}; 1 or more was expected")


def make_loss(config: Config, context: LossContext) -> MiPKD:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, a feature differs in size between the networks, or the training cannot
            run parts of a network.
    """
    return MiPKD(config, context)


class Position(nn.Module):
    """Encoders and decoders of one feature; ``decode_t`` serves both networks where they have equal channels."""

    def __init__(self, channels_s: int, channels_t: int, config: Config) -> None:
        super().__init__()
        self.student_share = config.student_share
        common = config.width or channels_t
        self.encode_s = _convolutions(channels_s, common, config.layers)
        self.encode_t = _convolutions(channels_t, common, config.layers)
        self.decode_t = _convolutions(common, channels_t, config.layers)
        self.decode_s = _convolutions(common, channels_s, config.layers) if channels_s != channels_t else None

    def mix(self, feature_s: Tensor, feature_t: Tensor) -> Tensor:
        """Return (N, C, H, W) float32, each element drawn from the student's or the teacher's encoded feature.

        Args:
            feature_s: (N, C_s, H, W) float32.
            feature_t: (N, C_t, H, W) float32.
        """
        encoded_s, encoded_t = self.encode_s(feature_s), self.encode_t(feature_t)
        # The mask is drawn for each element, so that no channel or region is one network's alone.
        return torch.where(torch.rand_like(encoded_s) < self.student_share, encoded_s, encoded_t)

    def decode(self, role: str, mixture: Tensor) -> Tensor:
        """Decode a mixture into a feature of the ``role``'s network, (N, C_s or C_t, H, W) float32.

        Args:
            role: "student" or "teacher".
            mixture: (N, C, H, W) float32.
        """
        decoder = self.decode_s if role == "student" and self.decode_s is not None else self.decode_t
        feature: Tensor = decoder(mixture)
        return feature


class MiPKD(nn.Module):
    """The terms of the module's formula."""

    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion, self.distance = config, context.criterion, output_distance(context)
        self.run_from: RunFrom | None = context.run_from
        if config.block and context.run_from is None:
            raise RecipeError(
                f"block = {config.block:g} runs parts of the networks, which this training cannot; set block = 0"
            )
        uses_positions = bool(config.feature or config.block or config.autoencoder)
        self.feature_names = context.require_features("mipkd") if uses_positions else ()
        self.positions = nn.ModuleList()
        for name in self.feature_names:
            shape_s, shape_t = context.map_shapes(name)
            self.positions.append(Position(shape_s[1], shape_t[1], config))

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the loss terms, each a scalar (), of images (N, 3, H, W) float32; see ``method.Loss``."""
        mixtures = self._mixtures(student, teacher)
        # Functions, so that a term with weight 0 costs nothing.
        terms: dict[str, Callable[[], Tensor]] = {
            "task": lambda: self.criterion(student[OUTPUT], target),
            "teacher": lambda: self.distance(student[OUTPUT], teacher[OUTPUT]),
            "feature": lambda: self._feature_error(mixtures, teacher),
            "block": lambda: self.distance(self._mixed_output(mixtures, student, teacher), teacher[OUTPUT]),
            "autoencoder": lambda: self._autoencoder_error(student, teacher),
        }
        weights = {name: getattr(self.config, name) for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _mixtures(self, student: Features, teacher: Features) -> list[Tensor]:
        if not (self.config.feature or self.config.block):
            return []
        return [position.mix(student[name], teacher[name]) for position, name in self._named_positions()]

    def _named_positions(self) -> list[tuple[Position, str]]:
        positions = [position for position in self.positions if isinstance(position, Position)]
        return list(zip(positions, self.feature_names, strict=True))

    def _feature_error(self, mixtures: list[Tensor], teacher: Features) -> Tensor:
        errors = []
        for (position, name), mixture in zip(self._named_positions(), mixtures, strict=True):
            errors.append(self._error(position.decode("teacher", mixture), teacher[name]))
        return torch.stack(errors).sum()

    def _autoencoder_error(self, student: Features, teacher: Features) -> Tensor:
        errors = []
        for position, name in self._named_positions():
            errors.append(self._error(position.decode("teacher", position.encode_t(teacher[name])), teacher[name]))
            if position.decode_s is not None:
                feature_s = student[name].detach()  # trains the encoder and the decoder, not the student
                errors.append(self._error(position.decode("student", position.encode_s(feature_s)), feature_s))
        return torch.stack(errors).sum()

    def _error(self, rebuilt: Tensor, original: Tensor) -> Tensor:
        error = functional.l1_loss(rebuilt, original)
        if not self.config.relative:
            return error
        return error / original.abs().mean().clamp_min(_MIN_MAGNITUDE)

    def _mixed_output(self, mixtures: list[Tensor], student: Features, teacher: Features) -> Tensor:
        """Return M(x), (N, 3, H, W), with one forward pass for each stretch of the path within one network."""
        assert self.run_from is not None, "checked when the loss was made"
        positions = [position for position, _name in self._named_positions()]
        stretches = self._draw_path()
        ends = [self.feature_names[start] for start, _role in stretches[1:]] + [OUTPUT]
        computed: dict[str, Tensor] = {}  # role → the feature that the previous stretch ended with
        value = student[OUTPUT]
        for (start, role), end in zip(stretches, ends, strict=True):
            name, position = self.feature_names[start], positions[start]
            if computed:
                feature_s, feature_t = computed.get("student", student[name]), computed.get("teacher", teacher[name])
                mixture = position.mix(feature_s, feature_t)
            else:
                mixture = mixtures[start]
            value = self.run_from(role, name, position.decode(role, mixture), end)
            computed = {role: value}  # the other network's feature is this step's own again
        return value

    def _draw_path(self) -> list[tuple[int, str]]:
        """Draw the stretches of the path: (position where it begins, network); the networks alternate."""
        count = len(self.feature_names)
        if self.config.path == "once":
            first, draws = int(torch.randint(count, ())), 1
        else:
            first, draws = 0, count
        roles = ["student" if draw < self.config.student_blocks else "teacher" for draw in torch.rand(draws).tolist()]
        # Neighbouring positions in one network are one stretch: it runs through without a new mixture.
        return [(first + i, role) for i, role in enumerate(roles) if i == 0 or role != roles[i - 1]]


def _convolutions(channels_in: int, channels_out: int, layers: int) -> nn.Sequential:
    modules: list[nn.Module] = []
    for index in range(layers):
        if index:
            modules.append(nn.ReLU())
        modules.append(nn.Conv2d(channels_out if index else channels_in, channels_out, 3, padding=1))
    return nn.Sequential(*modules)
