"""Channel-wise distillation: where each channel is active, compared as a probability distribution over positions.

Formula: L = task * criterion(S(x), y) + feature * sum_j D(F_t^j, F_s^j) + logits * D(T(x), S(x)),
D(t, s) = tau² / C * sum_c KL(softmax(t_c / tau) || softmax(s_c / tau)), softmax over the H * W positions of a channel,
the mean over the batch.
Source: C. Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, arXiv 2011.13256, eq. 3
and 4 (tau = 4; weight 3 for logits, 50 for features); a 1x1 convolution brings the student's channels to the teacher's
number where they differ.
Differs from the paper: its logits are those before upsampling; here they are the network's output, at full size. For
the paper's, list the classifier in feature_layers and set logits = 0.
Floor: a student equal to its teacher has a loss of task * criterion; the other terms are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.distill.method import OUTPUT, Features, LossContext, check_not_negative, check_positive

NEEDS_TEACHER = True


@dataclass(frozen=True, slots=True)
class Config:
    """Weights of the terms, and how soft the distributions are; a weight of 0 removes its term.

    Attributes:
        task: Weight of the task's own loss.
        feature: Weight of every feature layer's divergence.
        logits: Weight of the outputs' divergence.
        temperature: tau.
    """

    task: float = 1.0
    feature: float = 50.0
    logits: float = 3.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_positive(self, "temperature")
        check_not_negative(self, "task", "feature", "logits")


def make_loss(config: Config, context: LossContext) -> nn.Module:
    """Return the loss; see ``method.Loss``.

    Raises:
        RecipeError: There are no feature layers, or a feature or the output is not (N, C, H, W) of equal size in both
            networks.
    """
    return _Loss(config, context)


class _Loss(nn.Module):
    def __init__(self, config: Config, context: LossContext) -> None:
        super().__init__()
        self.config, self.criterion = config, context.criterion
        self.feature_names = context.require_features("channel_wise") if config.feature else ()
        self.adaptors = nn.ModuleList()
        for name in self.feature_names:
            shape_s, shape_t = context.map_shapes(name)
            channels_s, channels_t = shape_s[1], shape_t[1]
            self.adaptors.append(nn.Identity() if channels_s == channels_t else nn.Conv2d(channels_s, channels_t, 1))
        if config.logits:  # an output without positions, such as (N, C), has no distribution over them
            context.map_shapes(OUTPUT)

    def forward(self, student: Features, teacher: Features, target: Tensor, progress: float) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.task:
            terms["task"] = config.task * self.criterion(student[OUTPUT], target)
        if config.feature:
            divergences = []
            for name, adaptor in zip(self.feature_names, self.adaptors, strict=True):
                divergences.append(self._divergence(adaptor(student[name]), teacher[name]))
            terms["feature"] = config.feature * torch.stack(divergences).sum()
        if config.logits:
            terms["logits"] = config.logits * self._divergence(student[OUTPUT], teacher[OUTPUT])
        return terms

    def _divergence(self, feature_s: Tensor, feature_t: Tensor) -> Tensor:
        """D(t, s) of two (N, C, H, W): a scalar."""
        temperature = self.config.temperature
        log_s = functional.log_softmax(feature_s.flatten(2) / temperature, dim=2)  # (N, C, H*W)
        log_t = functional.log_softmax(feature_t.flatten(2) / temperature, dim=2)
        # The mean over N and C stands for 1 / C * sum_c, averaged over the batch.
        divergence: Tensor = (log_t.exp() * (log_t - log_s)).sum(dim=2).mean()
        return divergence * temperature**2
