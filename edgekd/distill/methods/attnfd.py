"""AttnFD: features refined by CBAM, compared by direction. The student's CBAMs are side branches of training only.

Formula: L = task * criterion(S(x), y) + lambda * sum_i w_i * || s_i / ||s_i|| - t_i / ||t_i|| ||², s_i = BN(Conv1x1(
CBAM(F_s,i))), t_i the teacher's refined feature; each norm is ONE number over the whole batch tensor (N, C, H, W), so a
level's term is 2 * lambda * w_i * (1 - cos(s_i, t_i)) of the flattened tensors.
Source: A. Mansourian et al., "Attention-guided Feature Distillation for Semantic Segmentation", arXiv 2403.05451 (WACV
workshops 2026 as "Attention as Geometric Transformation"), its loss as in the released code; CBAM: S. Woo et al.,
arXiv 1807.06521. For the teacher's refinement the authors name two valid options: CBAM trained in the teacher's forward
path, and the parameter-free form. "random" is what their released code amounts to, and serves as a control.
Differs from the paper: it describes norms per channel, and its authors call the code's one norm correct. Their code
divides both terms by the batch size once more, which is a factor on the learning rate (SGD with rate / N and decay * N
makes the same steps) and is left out here. Connectors are trained throughout, and so is the channel part of the
student's CBAMs; ``connectors`` and ``channel_attention`` select the code's behaviour. With several processes a norm is
over each process's slice of the batch.
Floor: the connectors start at random, so a student equal to its teacher has a loss of up to 4 * lambda * w_i per level,
plus task * criterion; a level that its connector has aligned adds 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.core.errors import RecipeError, nearest
from edgekd.distill.method import OUTPUT, Features, LossContext, check_not_negative
from edgekd.networks.cbam import CBAM, parameter_free_cbam

NEEDS_TEACHER = True
_MIN_NORM = 1e-12  # an all-zero feature has direction 0, not NaN


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, and how features are refined.

    Attributes:
        task: Weight of the task's own loss; 0 removes it.
        weight: lambda, the weight of all levels together; 0 removes them.
        levels: Feature name → its own weight w_i, 1 where it is not named; 0 removes the level.
        teacher_attention: "in_path": the teacher's features are its CBAMs' outputs already; "free": the parameter-free
            form refines them; "random": CBAMs with random frozen weights do.
        student_attention: "none" compares the student's features without CBAM.
        channel_attention: "frozen" leaves the channel part of the student's CBAMs at its random start.
        connectors: "first_epoch" trains them alone for ``first_share`` of the training, then the student without them.
        first_share: One epoch as a share of all steps.
    """

    task: float = 1.0
    weight: float = 2.0
    levels: Mapping[str, float] = field(default_factory=dict)
    teacher_attention: Literal["in_path", "free", "random"] = "in_path"
    student_attention: Literal["cbam", "none"] = "cbam"
    channel_attention: Literal["train", "frozen"] = "train"
    connectors: Literal["train", "first_epoch"] = "train"
    first_share: float = 0.01

    def __post_init__(self) -> None:
        check_not_negative(self, "task", "weight")
        for name, value in self.levels.items():
            if not value >= 0:
                raise RecipeError(f"levels.{name} = {value}; 0 or more was expected")
        if not 0 <= self.first_share < 1:
            raise RecipeError(f"first_share = {self.first_share}; a share from 0 to under 1 was expected")


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, ``levels`` names another feature, or a feature differs in size between
            the networks.
    """
    return _Loss(config, context)


class _Level(nn.Module):
    """One feature: the student's side branch, and the refinement of the teacher's feature."""

    def __init__(self, config: Config, channels_s: int, channels_t: int) -> None:
        super().__init__()
        self.parameter_free = config.teacher_attention == "free"
        self.cbam: nn.Module = CBAM(channels_s) if config.student_attention == "cbam" else nn.Identity()
        if isinstance(self.cbam, CBAM) and config.channel_attention == "frozen":
            self.cbam.channel.requires_grad_(False)
        self.connector = nn.Sequential(nn.Conv2d(channels_s, channels_t, 1, bias=False), nn.BatchNorm2d(channels_t))
        random = config.teacher_attention == "random"
        self.cbam_t: nn.Module = CBAM(channels_t).requires_grad_(False) if random else nn.Identity()
        self.train()

    def train(self, mode: bool = True) -> _Level:
        """Set the mode of the student's side; the teacher's CBAM is frozen, with its statistics."""
        super().train(mode)  # called by nn.Module.train of the whole loss
        self.cbam_t.eval()
        return self

    def distance(self, feature_s: Tensor, feature_t: Tensor, *, connector_alone: bool) -> Tensor:
        """Return the squared distance of two features' directions, 0 to 4.

        Args:
            feature_s: (N, C_s, H, W) float32.
            feature_t: (N, C_t, H, W) float32.
            connector_alone: Keep the gradient from the student and its CBAM.
        """
        refined_s = self.cbam(feature_s)  # (N, C_s, H, W)
        direction_s = _direction(self.connector(refined_s.detach() if connector_alone else refined_s))
        refined_t = parameter_free_cbam(feature_t) if self.parameter_free else self.cbam_t(feature_t)
        return (direction_s - _direction(refined_t)).square().sum()


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        names = context.require_features("attnfd")
        for name in config.levels:
            if name not in names:
                raise RecipeError(
                    f"levels.{name} is not in feature_layers{nearest(name, names)}; one of {', '.join(names)} was "
                    "expected"
                )
        self.weights = {name: config.weight * config.levels.get(name, 1.0) for name in names}
        # A level without weight has no side branch either: it would train on nothing.
        self.feature_names = tuple(name for name, weight in self.weights.items() if weight)
        self.levels = nn.ModuleList()
        for name in self.feature_names:
            shape_s, shape_t = context.map_shapes(name)
            self.levels.append(_Level(config, shape_s[1], shape_t[1]))

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        connector_alone = False
        if self.config.connectors == "first_epoch":
            connector_alone = progress < self.config.first_share
            for level in self.levels:
                level.get_submodule("connector").requires_grad_(connector_alone)
        terms = {}
        if self.config.task:
            # The student gets no gradient from any term while its connectors learn.
            output = student[OUTPUT].detach() if connector_alone else student[OUTPUT]
            terms["task"] = self.config.task * self.criterion(output, target)
        for name, level in zip(self.feature_names, self.levels, strict=True):
            assert isinstance(level, _Level), "ModuleList does not know its elements' type"
            distance = level.distance(student[name], teacher[name], connector_alone=connector_alone)
            terms[f"attention_{name}"] = self.weights[name] * distance
        return terms


def _direction(feature: Tensor) -> Tensor:
    """Divide (N, C, H, W) by its one norm over the whole batch."""
    return feature / torch.clamp(torch.linalg.vector_norm(feature), min=_MIN_NORM)
