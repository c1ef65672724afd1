"""MiPKD: the student's features and blocks are mixed at random into the teacher's, and the mixture must do as well.

Formula, at position k of K (a tap), with encoders E_s, E_t and decoders D_t, D_s of 3x3 convolutions, and a random
I in {0, 1} for each channel and pixel:
    Z_k  = I * E_s(F_s) + (1 - I) * E_t(F_t)
    L    = task * criterion(S(x), y) + teacher * |S(x) - T(x)| + feature * sum_k |D_t(Z_k) - F_t|
         + block * |M(x) - T(x)| + autoencoder * sum_k (|D_t(E_t(F_t)) - F_t| + |D_s(E_s(F_s)) - F_s|)
M starts from the first position's mixture and goes on through the student (R_k = 1, from D_s(Z_k)) or the teacher
(R_k = 0, from D_t(Z_k)); R_k is drawn anew at each position, each step. Where it changes, what the path brings stands
for its network's own feature in Z_k. Every | | is a mean of absolute differences.

Source: S. Li et al., "Knowledge Distillation with Multi-granularity Mixture of Priors for Image Super-Resolution",
arXiv 2404.02573 (ICLR 2025); no code of the authors is known, and these are ours where its published readings say
nothing: depth and width of encoders and decoders, the mask's share, the probability of R_k, teacher = 1, the
autoencoder's formula and weight.
Differs from the paper: where the path stays in one network it runs on through it without a new mixture, which saves
its forwards; two decoders where the networks' widths differ, one where they do not, and then the autoencoder has the
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
from edgekd.distill.method import OUTPUT, Resume, Setting, Taps, soft_distance

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, a weight of 0 leaves its term out, and how mixtures are made.

    Attributes:
        task, teacher, feature, block, autoencoder: Weights.
        relative: Whether a position's feature and autoencoder errors are shares of the mean magnitude of what is
            rebuilt; the paper's are absolute.
        width: Channels of the common space; 0 takes the teacher's.
        layers: 3x3 convolutions in each encoder and decoder, with ReLU between.
        student_share: Of the mixture, what comes from the student, 0..1.
        student_blocks: Probability that the path goes on through the student, 0..1.
        path: "positions" draws the network anew at each position; "once" enters at one position drawn at random and
            stays in one network, at the cost of one forward.
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
        if self.width < 0 or self.layers < 1:
            raise RecipeError(f"width = {self.width}, layers = {self.layers}; 0 or more and 1 or more were expected")


def make_loss(config: Config, setting: Setting) -> MiPKD:
    """Return the loss.

    Raises:
        RecipeError: There are no taps, a tap's shapes do not suit, or the loop cannot resume a network.
    """
    return MiPKD(config, setting)


class Position(nn.Module):
    """Encoders and decoders of one tap; ``decode_s`` is ``decode_t`` where the networks are equally wide."""

    def __init__(self, wide_s: int, wide_t: int, config: Config) -> None:
        super().__init__()
        self.share = config.student_share
        common = config.width or wide_t
        self.encode_s = _convolutions(wide_s, common, config.layers)
        self.encode_t = _convolutions(wide_t, common, config.layers)
        self.decode_t = _convolutions(common, wide_t, config.layers)
        self.decode_s = _convolutions(common, wide_s, config.layers) if wide_s != wide_t else None

    def mix(self, feature_s: Tensor, feature_t: Tensor) -> Tensor:
        """(N, C_s, H, W) and (N, C_t, H, W) float32 → (N, C, H, W), each element of the one or of the other."""
        coded_s, coded_t = self.encode_s(feature_s), self.encode_t(feature_t)
        return torch.where(torch.rand_like(coded_s) < self.share, coded_s, coded_t)

    def decode(self, role: str, mixture: Tensor) -> Tensor:
        """(N, C, H, W) float32 → a feature of the ``role``'s network."""
        decoder = self.decode_s if role == "student" and self.decode_s is not None else self.decode_t
        decoded: Tensor = decoder(mixture)
        return decoded


class MiPKD(nn.Module):
    """The terms of the module's formula."""

    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion, self.distance = config, setting.criterion, soft_distance(setting)
        self.resume: Resume | None = setting.resume
        if config.block and setting.resume is None:
            raise RecipeError(
                f"block = {config.block:g} runs parts of the networks, which this training cannot; set block = 0"
            )
        self.uses_positions = bool(config.feature or config.block or config.autoencoder)
        self.names = setting.need_features("mipkd") if self.uses_positions else ()
        self.positions = nn.ModuleList(_position(name, config, setting) for name in self.names)

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        """See ``_setting.Loss``."""
        mixtures = self._mixtures(student, teacher)
        terms: dict[str, Callable[[], Tensor]] = {
            "task": lambda: self.criterion(student[OUTPUT], target),
            "teacher": lambda: self.distance(student[OUTPUT], teacher[OUTPUT]),
            "feature": lambda: self._feature(mixtures, teacher),
            "block": lambda: self.distance(self._mixed_output(mixtures, student, teacher), teacher[OUTPUT]),
            "autoencoder": lambda: self._autoencoder(student, teacher),
        }
        weights = {name: getattr(self.config, name) for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _mixtures(self, student: Taps, teacher: Taps) -> list[Tensor]:
        if not (self.config.feature or self.config.block):
            return []
        return [at.mix(student[name], teacher[name]) for at, name in self._each()]

    def _each(self) -> list[tuple[Position, str]]:
        positions = [at for at in self.positions if isinstance(at, Position)]
        return list(zip(positions, self.names, strict=True))

    def _feature(self, mixtures: list[Tensor], teacher: Taps) -> Tensor:
        errors = [
            self._error(at.decode("teacher", mixture), teacher[name])
            for (at, name), mixture in zip(self._each(), mixtures, strict=True)
        ]
        return torch.stack(errors).sum()

    def _autoencoder(self, student: Taps, teacher: Taps) -> Tensor:
        errors = []
        for at, name in self._each():
            errors.append(self._error(at.decode("teacher", at.encode_t(teacher[name])), teacher[name]))
            if at.decode_s is not None:
                own = student[name].detach()
                errors.append(self._error(at.decode("student", at.encode_s(own)), own))
        return torch.stack(errors).sum()

    def _error(self, rebuilt: Tensor, whole: Tensor) -> Tensor:
        error = functional.l1_loss(rebuilt, whole)
        return error / whole.abs().mean().clamp_min(1e-6) if self.config.relative else error

    def _mixed_output(self, mixtures: list[Tensor], student: Taps, teacher: Taps) -> Tensor:
        """Return M(x), (N, 3, H, W): one forward for each stretch of the path that stays in one network."""
        assert self.resume is not None, "refused when made"
        path, positions = self._path(), [at for at, _ in self._each()]
        brought: dict[str, Tensor] = {}
        value = student[OUTPUT]
        for (start, role), (end, _) in zip(path, [*path[1:], (len(self.names), "")], strict=True):
            name, until = self.names[start], self.names[end] if end < len(self.names) else OUTPUT
            met = {"student": student[name], "teacher": teacher[name]} | brought
            mixture = positions[start].mix(met["student"], met["teacher"]) if brought else mixtures[start]
            value = self.resume(role, name, positions[start].decode(role, mixture), until)
            brought = {role: value}
        return value

    def _path(self) -> list[tuple[int, str]]:
        """Draw the stretches of the path: (position where it begins, network), networks alternating."""
        count = len(self.names)
        if self.config.path == "once":
            first, draws = int(torch.randint(count, ())), 1
        else:
            first, draws = 0, count
        roles = ["student" if draw < self.config.student_blocks else "teacher" for draw in torch.rand(draws).tolist()]
        return [(first + i, role) for i, role in enumerate(roles) if i == 0 or role != roles[i - 1]]


def _position(name: str, config: Config, setting: Setting) -> Position:
    shape_s, shape_t = setting.student[name], setting.teacher[name]
    if len(shape_s) != 4 or len(shape_t) != 4 or shape_s[2:] != shape_t[2:]:
        raise RecipeError(
            f"tap {name!r} is {list(shape_s)} in the student and {list(shape_t)} in the teacher; method 'mipkd' "
            "expected (N, C, H, W) in both with equal H and W; choose modules at the same depth"
        )
    return Position(shape_s[1], shape_t[1], config)


def _convolutions(wide_in: int, wide_out: int, layers: int) -> nn.Sequential:
    widths = [wide_in, *[wide_out] * layers]
    modules: list[nn.Module] = []
    for index in range(layers):
        modules += [nn.ReLU()] if index else []
        modules.append(nn.Conv2d(widths[index], widths[index + 1], 3, padding=1))
    return nn.Sequential(*modules)
