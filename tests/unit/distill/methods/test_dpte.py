"""DPTE-Net's distillation: terms computed by hand, the critic's steps, gradients, terms with weight 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.schema import parse
from edgekd.distill.method import LossContext
from edgekd.distill.methods import dpte
from tests.unit.distill.loss_inputs import context_of, detached

PLAIN = dpte.Config(hint=0, adversarial=0, perceptual="none")
SHAPES = {"input": (2, 4, 16, 16), "output": (2, 3, 16, 16), "hint": (2, 3, 2, 2)}
TEACHER_SHAPES = {**SHAPES, "hint": (2, 5, 2, 2)}


def _context(student: dict = SHAPES, teacher: dict = TEACHER_SHAPES, criterion: str = "mse") -> LossContext:
    return context_of(student, teacher, criterion)


def _features(shapes: dict, seed: int, requires_grad: bool = False) -> dict[str, Any]:
    """Draw features of -1..1, the range of pictures here."""
    generator = torch.Generator().manual_seed(seed)
    features = {name: torch.rand(shape, generator=generator) * 2 - 1 for name, shape in shapes.items()}
    return {name: value.requires_grad_(requires_grad and name != "input") for name, value in features.items()}


def _changed(**options: object) -> dpte.Config:
    return parse(dpte.Config, {"hint": 0.0, "adversarial": 0.0, "perceptual": "none", **options}, "options")


def _flat(value: float, channels: int) -> Tensor:
    return torch.full((1, channels, 4, 4), value)


def test_terms_of_flat_pictures_computed_by_hand() -> None:
    # t = 0.3 * 2 is stored as 2 * (t - 0.5) = -0.4, so W = 0.7; squares of 0.7 * 0.5 and of 0.7 * 0.2.
    shapes = {"input": (1, 4, 4, 4), "output": (1, 3, 4, 4)}
    student = {"input": torch.cat([_flat(0.9, 3), _flat(-0.4, 1)], 1), "output": _flat(0.5, 3)}
    teacher = {"input": student["input"], "output": _flat(0.3, 3)}
    loss = dpte.make_loss(PLAIN, _context(shapes, shapes))
    terms = loss(student, teacher, _flat(0.0, 3), 0.25)
    assert set(terms) == {"recon", "soft"}
    assert terms["recon"].item() == pytest.approx(30 * 0.1225)
    assert terms["soft"].item() == pytest.approx(0.75 * 10 * 0.0196)


def test_dense_haze_counts_more_where_the_option_is_on() -> None:
    thin, dense = (torch.cat([_flat(0.0, 3), _flat(level, 1)], 1) for level in (0.8, -0.8))
    context = _context({"input": (1, 4, 4, 4), "output": (1, 3, 4, 4)}, {"output": (1, 3, 4, 4)})
    teacher = {"output": _flat(0.0, 3)}
    for aware in (True, False):
        loss = dpte.make_loss(_changed(transmission_aware=aware), context)
        found = [
            loss({"input": x, "output": _flat(1.0, 3)}, teacher, _flat(0.0, 3), 0.0)["recon"].item()
            for x in (thin, dense)
        ]
        assert found == pytest.approx([30 * 0.1**2, 30 * 0.9**2] if aware else [30, 30])


@pytest.mark.parametrize(
    ("decay", "shares"), [("linear", [1, 0.75, 0.5, 0.1]), ("two_stage", [1, 0.5, 0, 0]), ("constant", [1] * 4)]
)
def test_decay_of_the_teachers_terms(decay: str, shares: list[float]) -> None:
    assert [dpte.remaining_share(decay, p) for p in (0, 0.25, 0.5, 0.9)] == pytest.approx(shares)
    loss = dpte.make_loss(_changed(decay=decay, hint=10.0), _context())
    student, teacher = _features(SHAPES, 1), _features(TEACHER_SHAPES, 2)
    first, later = (loss(student, teacher, torch.zeros(2, 3, 16, 16), p) for p in (0.0, 0.25))
    for name, share in (("recon", 1), ("soft", shares[1]), ("hint", shares[1])):
        assert later[name].item() == pytest.approx(share * first[name].item(), rel=1e-5)


def test_picture_terms_are_0_where_the_student_equals_teacher_and_target() -> None:
    loss = dpte.make_loss(_changed(perceptual="pyramid"), _context())
    student = _features(SHAPES, 3)
    terms = loss(student, student, student["output"], 0.0)
    assert set(terms) == {"recon", "soft", "recon_perceptual", "soft_perceptual"}
    assert all(term.item() == 0 for term in terms.values())


def test_gradient_reaches_student_and_adaptor_never_teacher_or_critic() -> None:
    loss = dpte.make_loss(_changed(hint=10.0, adversarial=1.0, critic_width=2, perceptual="pyramid"), _context())
    student, teacher = _features(SHAPES, 4, requires_grad=True), _features(TEACHER_SHAPES, 5, requires_grad=True)
    loss.prepare(student, detached(teacher), torch.zeros(2, 3, 16, 16))
    assert student["output"].grad is None
    terms = loss(student, detached(teacher), torch.zeros(2, 3, 16, 16), 0.0)
    assert set(terms) == {"recon", "recon_perceptual", "soft", "soft_perceptual", "hint", "adversarial"}
    torch.stack(list(terms.values())).sum().backward()
    for name in ("output", "hint"):
        assert student[name].grad.abs().sum() > 0
    assert loss.adaptor is not None
    assert all(p.grad is not None for p in loss.adaptor.parameters())
    assert all(value.grad is None for value in teacher.values())
    assert loss.critic is not None
    assert all(p.grad is None for p in loss.critic.parameters())


def test_adversarial_term_alone_moves_the_output() -> None:
    loss = dpte.make_loss(_changed(recon=0, soft=0, adversarial=2.0, critic_width=2), _context())
    student = _features(SHAPES, 6, requires_grad=True)
    loss.eval()
    term = loss(student, _features(TEACHER_SHAPES, 7), torch.zeros(2, 3, 16, 16), 0.0)["adversarial"]
    assert loss.critic is not None
    assert term.item() == pytest.approx(2 * loss.critic(student["output"]).mean().item())
    term.backward()
    assert student["output"].grad.abs().sum() > 0


def test_critic_learns_low_scores_for_clear_pictures_and_high_ones_for_the_students() -> None:
    torch.manual_seed(0)
    options = {"adversarial": 1.0, "critic_width": 8, "critic_learning_rate": 1e-3, "critic_steps": 30}
    loss: Any = dpte.make_loss(_changed(**options), _context())
    clear, made = torch.full((2, 3, 16, 16), 0.8), torch.full((2, 3, 16, 16), -0.8)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.prepare({"output": made}, {}, clear)
    loss.eval()
    with torch.no_grad():
        assert loss.critic(clear).mean() < loss.critic(made).mean() - 0.2
    moved = {name for name, value in loss.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("critic.") for name in moved)


def test_critics_optimizer_holds_the_critic_and_nothing_else() -> None:
    loss: Any = dpte.make_loss(_changed(hint=10.0, adversarial=1.0, critic_learning_rate=3e-4), _context())
    (optimizer,) = loss.optimizers()
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in loss.critic.parameters()}
    assert optimizer.param_groups[0]["lr"] == 3e-4
    assert sum(p.numel() for p in loss.critic.parameters()) / 1e6 == pytest.approx(1.21, abs=0.005)


def test_weight_0_removes_its_term() -> None:
    everything = {"recon": 30.0, "hint": 10.0, "soft": 10.0, "adversarial": 1.0, "perceptual": "pyramid"}
    everything["critic_width"] = 2
    student, teacher, target = _features(SHAPES, 8), _features(TEACHER_SHAPES, 9), torch.zeros(2, 3, 16, 16)

    def names(**changes: object) -> set[str]:
        loss = dpte.make_loss(_changed(**{**everything, **changes}), _context())
        loss.prepare(student, teacher, target)
        return set(loss(student, teacher, target, 0.0))

    every = names()
    assert every - names(recon=0.0) == {"recon", "recon_perceptual"}
    assert every - names(soft=0.0) == {"soft", "soft_perceptual"}
    assert every - names(hint=0.0) == {"hint"}
    assert every - names(adversarial=0.0) == {"adversarial"}
    assert every - names(pixel=0.0) == {"recon", "soft"}
    assert every - names(perceptual_weight=0.0) == every - names(perceptual="none")
    assert every - names(perceptual="none") == {"recon_perceptual", "soft_perceptual"}
    assert dpte.make_loss(_changed(), _context()).optimizers() == []


def test_pyramid_is_the_mean_over_the_detail_of_each_halving_and_the_rest() -> None:
    pyramid = dpte.Pyramid()
    # One colour: no halving loses anything, and of four levels the last alone has its square.
    assert pyramid(torch.full((2, 3, 16, 16), 0.5)).square().mean().item() == pytest.approx(0.25 / 4)
    # A ramp of 1 a column, from -7.5: halvings lose 0.5, 1 and 2 either way, and -4 and 4 are left.
    ramp = torch.arange(-7.5, 8).expand(1, 3, 16, 16)
    assert pyramid(ramp).square().mean().item() == pytest.approx((0.5**2 + 1 + 2**2 + 4**2) / 4)
    # Odd sizes: the last row and column are halved with what there is.
    assert pyramid(torch.rand(1, 3, 9, 7)).shape == (1, 3 * (63 + 20 + 6 + 2))


def _vgg(path: Path, prefix: str = "features.") -> dict[str, Tensor]:
    state = {}
    inward = 3
    generator = torch.Generator().manual_seed(0)
    for layer, outward in zip((0, 2, 5, 7, 10, 12, 14), (64, 64, 128, 128, 256, 256, 256), strict=True):
        deviation = (2 / (9 * inward)) ** 0.5
        state[f"{prefix}{layer}.weight"] = torch.randn(outward, inward, 3, 3, generator=generator) * deviation
        state[f"{prefix}{layer}.bias"] = torch.randn(outward, generator=generator) * 0.1
        inward = outward
    save_file(state, path)
    return state


def test_vgg16_is_torchvisions_up_to_block3_conv3(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    state = _vgg(tmp_path / "vgg16.safetensors")
    with torch.device("meta"):
        reference = models.vgg16(weights=None).features[:16]
    reference.load_state_dict({key.removeprefix("features."): value for key, value in state.items()}, assign=True)
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    found = dpte.VGG16(tmp_path / "vgg16.safetensors")
    torch.testing.assert_close(found(picture), reference(picture))
    assert not list(found.parameters())
    assert not found.state_dict()


def test_vgg16_term_is_the_squared_distance_of_its_features(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.safetensors"
    _vgg(path)
    loss = dpte.make_loss(_changed(perceptual="vgg16", vgg16=str(path), perceptual_weight=0.5), _context())
    student, teacher, target = (
        _features(SHAPES, 10, requires_grad=True),
        _features(TEACHER_SHAPES, 11),
        torch.zeros(2, 3, 16, 16),
    )
    term = loss(student, teacher, target, 0.0)["recon_perceptual"]
    features = dpte.VGG16(path)
    wanted = 30 * 0.5 * functional.mse_loss(features(student["output"]), features(target))
    assert term.item() == pytest.approx(wanted.item(), rel=1e-5)
    term.backward()
    assert student["output"].grad.abs().sum() > 0


def test_vgg16_without_weights_is_refused_with_the_alternatives() -> None:
    with pytest.raises(RecipeError, match=r'perceptual = "vgg16" and options\.vgg16 = "".*"pyramid".*"none"'):
        dpte.make_loss(parse(dpte.Config, {}, "options"), _context())
    assert dpte.make_loss(parse(dpte.Config, {"perceptual_weight": 0.0}, "options"), _context()).perceptual is None


def test_vgg16_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        InputError, match=r"other\.safetensors has \[8, 3, 3, 3\] at features\.0\.weight, \[64, 3, 3, 3"
    ):
        dpte.VGG16(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not exist"):
        dpte.VGG16(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (_context(criterion="cross_entropy"), "compares pictures"),
        (_context(teacher={**TEACHER_SHAPES, "output": (2, 3, 8, 8)}), r"output is \[2, 3, 16, 16\].*\[2, 3, 8, 8\]"),
        (_context({**SHAPES, "input": (2, 3, 16, 16)}), r"input is \[2, 3, 16, 16\]"),
        (_context({k: v for k, v in SHAPES.items() if k != "hint"}), "found 0 feature_layers"),
        (_context({"input": (2, 4, 16, 16), "output": (2, 3, 16, 16), "neck": (2, 3, 2, 2)}), "'hint' and found neck"),
        (_context(teacher={**TEACHER_SHAPES, "hint": (2, 5, 4, 4)}), r"\[2, 3, 2, 2\].*\[2, 5, 4, 4\]"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_both_shapes(context: LossContext, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        dpte.make_loss(_changed(hint=10.0), context)


@pytest.mark.parametrize("options", [{"recon": -1.0}, {"critic_steps": 0}, {"critic_learning_rate": 0.0}])
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError, match=next(iter(options))):
        _changed(**options)
