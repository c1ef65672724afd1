"""One training step's forward pass: the student, its frozen teacher, and the method's loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.core import family
from edgekd.core.config import Recipe, Role, TrainConfig
from edgekd.core.errors import InputError
from edgekd.core.schema import parse
from edgekd.distill.features import FeatureExtractor
from edgekd.distill.method import OUTPUT, LossContext, PreparesStep, Shape, criterion_named
from edgekd.networks.checkpoint import load_weights, network


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where the networks of a step come from.

    Attributes:
        pair_folder: The folder of model.py.
        role: Which of its networks is trained.
        start: Weights to start from; None starts from random ones.
        teacher: The trained teacher's weights; None where the method needs no teacher.
    """

    pair_folder: Path
    role: Role
    start: Path | None
    teacher: Path | None


class NetworkPair:
    """The student and, where the method needs one, its teacher, each run in its own precision.

    Attributes:
        student, teacher: The networks with hooks on their feature layers.
        config: ``precision`` and ``teacher_precision`` apply.
    """

    def __init__(self, student: FeatureExtractor, teacher: FeatureExtractor | None, config: TrainConfig) -> None:
        self.student, self.teacher, self.config = student, teacher, config

    def features(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Run both networks on ``x`` (N, C, H, W); return the student's and the teacher's features as float32."""
        features_t: dict[str, Tensor] = {}
        if self.teacher is not None:  # stays first: its dropout draws from the same generator
            with torch.no_grad(), self._autocast("teacher", x):
                features_t = self.teacher(x)
        with self._autocast("student", x):
            features_s = self.student(x)
        return _as_float32(features_s), _as_float32(features_t)

    def run_from(self, role: str, start: str, value: Tensor, end: str) -> Tensor:
        """Run part of a network again; see ``method.RunFrom``.

        Args:
            role: "student" or "teacher".
            start: The feature that is replaced.
            value: (N, ...) float32, what replaces it.
            end: The feature that is returned.
        """
        extractor = self.student if role == "student" else self.teacher
        assert extractor is not None, "only a method that needs a teacher runs one"
        with self._autocast(role, value):
            return extractor.run_from(start, value, end).float()

    def shapes(self, x: Tensor, batch_size: int) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """Return the shapes of both networks' features for a batch; the teacher's are empty without one.

        Args:
            x: (1, C, H, W) float32, any sample.
            batch_size: The N of the shapes.

        Raises:
            InputError: A network does not run on ``x``.
        """
        shapes_s = _feature_shapes(self.student, x, batch_size)
        shapes_t = _feature_shapes(self.teacher, x, batch_size) if self.teacher is not None else {}
        return shapes_s, shapes_t

    def _autocast(self, role: str, x: Tensor) -> torch.autocast:
        own = self.config.teacher_precision if role == "teacher" else ""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=(own or self.config.precision) == "bf16")


class TrainStep(nn.Module):
    """The forward pass of a step as one module, so that accelerate synchronises the gradients of all its parameters.

    The teacher is not a submodule: nothing of it is trained, averaged or saved.

    Attributes:
        networks: Student and teacher.
        loss: The method's module.
        pseudo_target: In adaptation: the teacher's output → the target.
    """

    def __init__(
        self, networks: NetworkPair, loss: nn.Module, pseudo_target: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.networks, self.loss, self.pseudo_target = networks, loss, pseudo_target
        self.student = networks.student.network

    def forward(self, x: Tensor, target: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the method's loss terms, each a scalar.

        Args:
            x: (N, C, H, W) float32, the networks' input.
            target: (N, ...), what the task's loss compares with; a placeholder in adaptation.
            progress: Share of the training that is done, 0 to 1.
        """
        # Convolutions in bfloat16 take half the time on channels-last tensors, on CPUs and GPUs alike.
        features_s, features_t = self.networks.features(x.contiguous(memory_format=torch.channels_last))
        if self.pseudo_target is not None:
            target = self.pseudo_target(features_t[OUTPUT])
        if isinstance(self.loss, PreparesStep):
            self.loss.prepare({name: value.detach() for name, value in features_s.items()}, features_t, target)
        terms: dict[str, Tensor] = self.loss(features_s, features_t, target, progress)
        return terms

    def to(self, *args: Any, **kwargs: Any) -> TrainStep:
        """Move the teacher along, which is not a submodule."""
        if self.networks.teacher is not None:
            self.networks.teacher.network.to(*args, **kwargs)
        super().to(*args, **kwargs)
        return self


def build_step(
    checkpoints: Checkpoints, recipe: Recipe, config: TrainConfig, sample: tuple[Any, Any], *, adapt: bool
) -> TrainStep:
    """Build both networks and the method's loss, and run the networks once to learn their features' shapes.

    Args:
        checkpoints: Where the networks come from.
        recipe: Its ``[network]`` and task apply.
        config: Method, options, feature layers, precision.
        sample: (network input (C, H, W) float32, target), any of the training's.
        adapt: The teacher's outputs are the targets.

    Raises:
        InputError: The networks do not run on the sample, or do not match each other or the target.
        UnknownName: The recipe names a method or feature layer that does not exist.
    """
    assert recipe.pair is not None, "the caller has looked up the pair's task"
    criterion, is_classification = criterion_named(family.load("tasks", recipe.pair.task).CRITERION)
    method = family.load("distill.methods", config.method)
    options = parse(method.Config, config.options, f"distill.{checkpoints.role}.options")
    if adapt and not method.NEEDS_TEACHER:
        raise InputError(
            f"method {config.method!r} has no teacher, and adaptation trains on the teacher's outputs; choose a method "
            "with a teacher"
        )
    networks = _build_networks(checkpoints, recipe, config, needs_teacher=method.NEEDS_TEACHER)
    x, target = (torch.as_tensor(array)[None] for array in sample)  # a batch of one
    shapes_s, shapes_t = networks.shapes(x, config.batch_size)
    target_shape = None if is_classification or adapt else (config.batch_size, *target.shape[1:])
    _check_outputs(shapes_s[OUTPUT], shapes_t.get(OUTPUT), target_shape)
    context = LossContext(criterion, is_classification, shapes_s, shapes_t, networks.run_from)
    loss = method.make_loss(options, context)
    networks.student.network.train()  # learning the shapes left it in eval mode
    pseudo_target = _most_likely_class if is_classification else _output_itself
    return TrainStep(networks, loss, pseudo_target if adapt else None)


def _build_networks(
    checkpoints: Checkpoints, recipe: Recipe, config: TrainConfig, *, needs_teacher: bool
) -> NetworkPair:
    role = checkpoints.role
    student = network(checkpoints.pair_folder, role, getattr(recipe.network, role))
    if checkpoints.start is not None:
        student = load_weights(student, checkpoints.start)
    if not needs_teacher:
        # Such a method compares no features, whatever the recipe lists for the methods that do.
        return NetworkPair(FeatureExtractor(student, {}, role), None, config)
    layers_s = {name: layer.student for name, layer in config.feature_layers.items()}
    layers_t = {name: layer.teacher for name, layer in config.feature_layers.items()}
    extractor_s = FeatureExtractor(student, layers_s, role)
    extractor_t = FeatureExtractor(_build_teacher(checkpoints, recipe, config), layers_t, "teacher")
    return NetworkPair(extractor_s, extractor_t, config)


def _build_teacher(checkpoints: Checkpoints, recipe: Recipe, config: TrainConfig) -> nn.Module:
    """Return the trained teacher without gradients, in eval mode unless the recipe says otherwise."""
    if checkpoints.teacher is None:
        raise InputError(
            f"method {config.method!r} needs a trained teacher; train one with --role teacher, or give --teacher FILE"
        )
    teacher = network(checkpoints.pair_folder, "teacher", recipe.network.teacher)
    teacher = load_weights(teacher, checkpoints.teacher)
    return teacher.requires_grad_(False).train(config.teacher_mode == "train")


def _feature_shapes(extractor: FeatureExtractor, x: Tensor, batch_size: int) -> dict[str, Shape]:
    """Run once in eval mode, which leaves batch norm's statistics as they are."""
    was_training = extractor.network.training
    extractor.network.eval()
    try:
        with torch.no_grad():
            features = extractor(x)
    except (RuntimeError, ValueError, IndexError) as err:  # what torch raises for a wrong shape
        raise InputError(
            f"the {extractor.role} does not run on an input of shape {list(x.shape)}, which the data has: "
            f"{str(err).splitlines()[0][:160]}; check [data.options] and [task]"
        ) from err
    extractor.network.train(was_training)
    return {name: (batch_size, *value.shape[1:]) for name, value in features.items()}


def _check_outputs(student: Shape, teacher: Shape | None, target: Shape | None) -> None:
    """Raise InputError where the student's output does not have the teacher's and the target's shape."""
    if teacher is not None and teacher != student:
        raise InputError(
            f"the teacher's output is {list(teacher)}, the student's {list(student)}; the same classes and size were "
            "expected: check [network]"
        )
    if target is not None and target != student:
        raise InputError(
            f"the student's output is {list(student)}, the target {list(target)}; the same size was expected: check "
            "[network] and [task]"
        )


def _as_float32(features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in features.items()}


def _most_likely_class(output: Tensor) -> Tensor:
    return output.argmax(dim=1)  # (N, classes, ...) → (N, ...)


def _output_itself(output: Tensor) -> Tensor:
    return output
