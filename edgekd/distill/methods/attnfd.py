"""AttnFD: features refined by CBAM, compared by direction. Student CBAMs stand on side branches and are dropped after.

Formula: L = task * criterion(S(x), y) + lambda * sum_i w_i * || s_i / ||s_i|| - t_i / ||t_i|| ||², s_i = BN(Conv1x1(
CBAM(F_s,i))), t_i the teacher's refined feature; each norm is ONE number over the whole batch tensor (N, C, H, W), so a
level's term is 2 * lambda * w_i * (1 - cos(s_i, t_i)) of the flattened tensors.
Source: A. Mansourian et al., "Attention-guided Feature Distillation for Semantic Segmentation", arXiv 2403.05451 (WACV
workshops 2026 as "Attention as Geometric Transformation"), its loss as the released code has it; CBAM: S. Woo et al.,
arXiv 1807.06521. The teacher's refinement as its authors say (two valid options: CBAM trained in the teacher's forward
path, or the parameter-free one); "random" is what their released code amounts to, and a control.
Differs from the paper: it describes norms by channel, and its authors call the code's one norm correct. Their code
divides both terms by the batch size once more, which is a factor on the rate (SGD with rate / N and decay * N makes the
same steps) and is left out here. Connectors are trained all along, and so is the channel part of the student's CBAMs;
``connectors`` and ``channel_attention`` bring the code's ways back. With several processes a norm is over one's share.
Floor: the connectors start at random, so a student equal to its teacher pays up to 4 * lambda * w_i a level, beside
task * criterion; a level that its connector has aligned costs 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from edgekd.core.errors import RecipeError, nearest
from edgekd.distill.method import OUTPUT, Setting, Taps
from edgekd.networks.cbam import CBAM, parameter_free_cbam

NEEDS_TEACHER = True
_TINY = 1e-12  # keeps the direction of an all-zero tensor a number


@dataclass(frozen=True, slots=True)
class Config:
    """How features are refined and weighed.

    Attributes:
        task: Weight of the task's own loss; 0 leaves it out.
        weight: lambda, of all levels together; 0 leaves them out.
        levels: Tap → its own weight, 1 where it is not named; 0 leaves the level out.
        teacher_attention: "in_path": the teacher's taps are its CBAMs' outputs already; "free": refined by the
            parameter-free form; "random": by CBAMs of random frozen weights.
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
        weights = {"task": self.task, "weight": self.weight, **{f"levels.{k}": v for k, v in self.levels.items()}}
        for name, value in weights.items():
            if value < 0:
                raise RecipeError(f"{name} = {value}; 0 or more was expected")
        if not 0 <= self.first_share < 1:
            raise RecipeError(f"first_share = {self.first_share}; a share from 0 to under 1 was expected")


def make_loss(config: Config, setting: Setting) -> nn.Module:
    """Return the loss; see ``_setting.Loss``.

    Raises:
        RecipeError: There are no taps, ``levels`` names another one, or a tap's features do not lie on one grid.
    """
    return _Loss(config, setting)


class _Level(nn.Module):
    """One tap: the student's side branch, and how the teacher's feature is refined."""

    def __init__(self, config: Config, channels_s: int, channels_t: int) -> None:
        super().__init__()
        self.free = config.teacher_attention == "free"
        self.cbam: nn.Module = CBAM(channels_s) if config.student_attention == "cbam" else nn.Identity()
        if isinstance(self.cbam, CBAM) and config.channel_attention == "frozen":
            self.cbam.channel.requires_grad_(False)
        self.connector = nn.Sequential(nn.Conv2d(channels_s, channels_t, 1, bias=False), nn.BatchNorm2d(channels_t))
        random = config.teacher_attention == "random"
        self.cbam_t: nn.Module = CBAM(channels_t).requires_grad_(False) if random else nn.Identity()
        self.train()

    def train(self, mode: bool = True) -> _Level:
        """Set the mode of the student's side; the teacher's CBAM is frozen, its statistics too."""
        super().train(mode)
        self.cbam_t.eval()
        return self

    def apart(self, feature_s: Tensor, feature_t: Tensor, connector_alone: bool) -> Tensor:
        """Squared distance of the two directions, 0 to 4, of (N, C, H, W) features."""
        refined_s = self.cbam(feature_s)
        direction_s = _direction(self.connector(refined_s.detach() if connector_alone else refined_s))
        refined_t = parameter_free_cbam(feature_t) if self.free else self.cbam_t(feature_t)
        return (direction_s - _direction(refined_t)).square().sum()


class _Loss(nn.Module):
    def __init__(self, config: Config, setting: Setting) -> None:
        super().__init__()
        self.config, self.criterion = config, setting.criterion
        features = setting.need_features("attnfd")
        for name in config.levels:
            if name not in features:
                known = ", ".join(features)
                raise RecipeError(f"levels.{name}{nearest(name, features)} is no tap; there are: {known}")
        self.weights = {tap: config.weight * config.levels.get(tap, 1.0) for tap in features}
        self.taps = tuple(tap for tap, weight in self.weights.items() if weight)
        levels = []
        for tap in self.taps:
            shape_s, shape_t = setting.student[tap], setting.teacher[tap]
            if len(shape_s) != 4 or len(shape_t) != 4 or shape_s[2:] != shape_t[2:]:
                raise RecipeError(
                    f"tap {tap!r} is {shape_s} in the student and {shape_t} in the teacher; (N, C, H, W) of one H and "
                    "W was expected: name other modules in taps"
                )
            levels.append(_Level(config, shape_s[1], shape_t[1]))
        self.levels = nn.ModuleList(levels)

    def forward(self, student: Taps, teacher: Taps, target: Tensor, progress: float) -> dict[str, Tensor]:
        connector_alone = False
        if self.config.connectors == "first_epoch":
            connector_alone = progress < self.config.first_share
            for level in self.levels:
                level.get_submodule("connector").requires_grad_(connector_alone)
        terms = {}
        if self.config.task:
            output = student[OUTPUT].detach() if connector_alone else student[OUTPUT]
            terms["task"] = self.config.task * self.criterion(output, target)
        for tap, level in zip(self.taps, self.levels, strict=True):
            assert isinstance(level, _Level)
            apart = level.apart(student[tap], teacher[tap], connector_alone)
            terms[f"attention_{tap}"] = self.weights[tap] * apart
        return terms


def _direction(feature: Tensor) -> Tensor:
    return feature / torch.clamp(torch.linalg.vector_norm(feature), min=_TINY)
