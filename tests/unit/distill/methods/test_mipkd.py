"""MiPKD: terms computed by hand, paths through both networks, the floor, gradients."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from edgekd.core.errors import RecipeError
from edgekd.distill.methods import mipkd
from tests.unit.distill.loss_inputs import context_of

OFF = mipkd.Config(task=0, teacher=0, feature=0, block=0, autoencoder=0)
NAMES = ("a", "b", "c")


class Net(nn.Module):
    """Three features of ``width`` channels, and an output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(3 if i == 0 else width, 3 if i == 3 else width, 3, padding=1) for i in range(4)
        )

    def features(self, x, start=0):
        """Return feature name → value, from ``x``, which is the input or the value of feature ``start - 1``."""
        found = {}
        for name, stage in list(zip((*NAMES, "output"), self.stages, strict=True))[start:]:
            x = found[name] = stage(x)
        return found


class Pair:
    """Two networks, their features of one batch, and a ``run_from`` that records its calls."""

    def __init__(self, channels_s: int = 4, channels_t: int = 6) -> None:
        torch.manual_seed(0)
        self.networks = {"student": Net(channels_s), "teacher": Net(channels_t).requires_grad_(False)}
        x = torch.rand(2, 3, 5, 7)
        self.student = {"input": x, **self.networks["student"].features(x)}
        self.teacher = {"input": x, **self.networks["teacher"].features(x)}
        self.target = torch.rand(2, 3, 5, 7)
        self.calls: list[tuple[str, str, str]] = []

    def run_from(self, role, start, value, end):
        self.calls.append((role, start, end))
        assert value.shape == getattr(self, role)[start].shape
        return self.networks[role].features(value, NAMES.index(start) + 1)[end]

    def loss(self, **options) -> mipkd.MiPKD:
        shapes_s = {name: tuple(value.shape) for name, value in self.student.items()}
        shapes_t = {name: tuple(value.shape) for name, value in self.teacher.items()}
        context = context_of(shapes_s, shapes_t, "l1", self.run_from)
        return mipkd.make_loss(dataclasses.replace(OFF, **options), context)

    def terms(self, **options):
        return self.loss(**options)(self.student, self.teacher, self.target, 0.0)


def identity(loss: mipkd.MiPKD) -> None:
    """Make every encoder and decoder the identity."""
    for module in loss.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)


def test_weight_0_removes_its_term():
    names = [field.name for field in dataclasses.fields(mipkd.Config)][:5]
    everything = dict.fromkeys(names, 1.0)
    assert list(Pair().terms(**everything)) == names == ["task", "teacher", "feature", "block", "autoencoder"]
    for name in names:
        assert set(Pair().terms(**(everything | {name: 0}))) == set(names) - {name}


def test_output_terms_are_mean_absolute_differences():
    pair = Pair()
    terms = pair.terms(task=2, teacher=3)
    assert terms["task"].item() == pytest.approx(2 * (pair.student["output"] - pair.target).abs().mean().item())
    difference = pair.student["output"] - pair.teacher["output"]
    assert terms["teacher"].item() == pytest.approx(3 * difference.abs().mean().item())


@pytest.mark.parametrize(("share", "expected"), [(1.0, 2 + 2 + 2), (0.0, 0.0)])
def test_feature_term_by_hand(share, expected):
    pair = Pair(channels_s=6)
    loss = pair.loss(feature=1, student_share=share)
    identity(loss)
    # All of the mixture from a student that is 2 higher everywhere, at three features; or none of it.
    student = {name: value + 2 for name, value in pair.teacher.items()}
    assert loss(student, pair.teacher, pair.target, 0.0)["feature"].item() == pytest.approx(expected, abs=1e-6)


def test_the_mask_is_random_over_channels_and_pixels_and_follows_the_seed():
    pair = Pair(channels_s=6)
    at = pair.loss(feature=1, student_share=0.25).positions[0]
    for module in (at.encode_s[0], at.encode_t[0]):
        nn.init.dirac_(module.weight)
        nn.init.zeros_(module.bias)
    ones, zeros = torch.ones(64, 6, 8, 8), torch.zeros(64, 6, 8, 8)
    torch.manual_seed(5)
    first, second = at.mix(ones, zeros), at.mix(ones, zeros)
    torch.manual_seed(5)
    assert torch.equal(at.mix(ones, zeros), first)
    assert not torch.equal(first, second)
    assert first.mean().item() == pytest.approx(0.25, abs=0.02)
    for axis in (1, 2, 3):
        assert first.amax(dim=axis).gt(first.amin(dim=axis)).float().mean() > 0.5


def test_relative_errors_do_not_depend_on_the_features_magnitude():
    pair = Pair()
    loss = pair.loss(autoencoder=1, relative=True)
    for module in loss.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.bias)
    small, large = (
        loss(*({k: v * factor for k, v in side.items()} for side in (pair.student, pair.teacher)), pair.target, 0.0)
        for factor in (1.0, 50.0)
    )
    assert large["autoencoder"].item() == pytest.approx(small["autoencoder"].item(), rel=1e-4)


def test_equal_networks_reach_the_floor():
    pair = Pair(channels_s=6)
    pair.student, pair.networks["student"] = pair.teacher, pair.networks["teacher"]
    loss = pair.loss(teacher=1, feature=1, block=1, autoencoder=1)
    assert loss(pair.student, pair.teacher, pair.target, 0.0)["feature"] > 0
    identity(loss)
    terms = loss(pair.student, pair.teacher, pair.target, 0.0)
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms.values())


@pytest.mark.parametrize(("probability", "role"), [(1.0, "student"), (0.0, "teacher")])
def test_a_path_that_stays_in_one_network_is_one_forward(probability, role):
    pair = Pair()
    loss = pair.loss(block=2, student_blocks=probability)
    torch.manual_seed(3)
    found = loss(pair.student, pair.teacher, pair.target, 0.0)["block"]
    assert pair.calls == [(role, "a", "output")]
    torch.manual_seed(3)
    at = loss.positions[0]
    value = at.decode(role, at.mix(pair.student["a"], pair.teacher["a"]))
    expected = pair.networks[role].features(value, 1)["output"] - pair.teacher["output"]
    assert found.item() == pytest.approx(2 * expected.abs().mean().item())


def test_each_stretch_of_a_path_begins_where_the_last_one_ended():
    paths = set()
    for seed in range(40):
        pair = Pair()
        loss = pair.loss(block=1)
        torch.manual_seed(seed)
        loss(pair.student, pair.teacher, pair.target, 0.0)
        starts, ends = [start for _, start, _ in pair.calls], [end for *_, end in pair.calls]
        assert (starts[0], ends[-1]) == ("a", "output")
        assert starts[1:] == ends[:-1]
        roles = [role for role, *_ in pair.calls]
        assert all(one != other for one, other in itertools.pairwise(roles))
        paths.add(tuple(pair.calls))
    assert len(paths) == 2 ** len(NAMES)


def test_a_later_mixture_takes_the_feature_that_the_path_has_computed():
    # Student at a, teacher from b on: b's mixture takes the student block's output, not its plain feature.
    for seed in range(200):
        pair = Pair(channels_s=6)
        loss = pair.loss(block=1, student_share=1.0)
        identity(loss)
        torch.manual_seed(seed)
        features_s = {name: value + 9 for name, value in pair.student.items()} | {"a": pair.student["a"]}
        found = loss(features_s, pair.teacher, pair.target, 0.0)["block"]
        if pair.calls == [("student", "a", "b"), ("teacher", "b", "output")]:
            mixed = pair.networks["teacher"].features(pair.student["b"], 2)["output"]
            assert found.item() == pytest.approx((mixed - pair.teacher["output"]).abs().mean().item(), rel=1e-5)
            return
    pytest.fail("no seed drew this path")


def test_once_enters_anywhere_and_costs_one_forward():
    calls = set()
    for seed in range(40):
        pair = Pair()
        loss = pair.loss(block=1, path="once")
        torch.manual_seed(seed)
        loss(pair.student, pair.teacher, pair.target, 0.0)
        assert len(pair.calls) == 1
        calls.add(pair.calls[0])
    assert calls == {(role, name, "output") for role in ("student", "teacher") for name in NAMES}


@pytest.mark.parametrize("term", ["teacher", "feature", "block"])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_gradient_reaches_student_and_adaptors_and_never_the_teacher(term, probability):
    pair = Pair()
    loss = pair.loss(**{term: 1.0}, student_blocks=probability)
    loss(pair.student, pair.teacher, pair.target, 0.0)[term].backward()
    assert pair.networks["student"].stages[0].weight.grad.abs().sum() > 0
    if term != "teacher":
        assert loss.positions[0].encode_s[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in pair.networks["teacher"].parameters())


def test_the_autoencoder_trains_encoders_and_decoders_alone():
    pair = Pair()
    loss = pair.loss(autoencoder=1)
    loss(pair.student, pair.teacher, pair.target, 0.0)["autoencoder"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.parameters())
    assert all(parameter.grad is None for parameter in pair.networks["student"].parameters())


def test_equal_widths_share_one_decoder():
    assert Pair(channels_s=6).loss(feature=1).positions[0].decode_s is None
    assert Pair(channels_s=4).loss(feature=1, width=5, layers=2).positions[0].decode_s is not None
    assert len(Pair().loss(feature=1, width=5, layers=2).positions[0].encode_s) == 3


def test_without_mixers_there_are_no_parameters_and_no_feature_layers_are_needed():
    loss = mipkd.make_loss(dataclasses.replace(OFF, teacher=1), context_of({}, {}, "l1"))
    assert not list(loss.parameters())


def test_wrong_contexts_are_refused():
    shape = (2, 4, 8, 8)
    with pytest.raises(RecipeError, match=r"found 0 feature_layers"):
        mipkd.make_loss(mipkd.Config(block=0), context_of({"output": shape}, {"output": shape}, "l1"))
    features = {"mid": shape}
    with pytest.raises(RecipeError, match=r"block = 0\.1.*set block = 0"):
        mipkd.make_loss(mipkd.Config(), context_of(features, features, "l1"))
    for other in ((2, 6, 4, 8), (2, 6, 64)):
        with pytest.raises(RecipeError, match=r"'mid' is \[2, 4, 8, 8\] in the student and \[2, 6, "):
            mipkd.make_loss(mipkd.Config(block=0), context_of(features, {"mid": other}, "l1"))


@pytest.mark.parametrize("options", [{"student_share": 1.5}, {"student_blocks": -0.1}, {"layers": 0}, {"width": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError, match=f"{next(iter(options))} = {next(iter(options.values()))}"):
        mipkd.Config(**options)
