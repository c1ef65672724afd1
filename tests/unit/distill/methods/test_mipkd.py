"""MiPKD: its terms by hand, its path through both networks, its floor, and where gradients go."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekd.core.errors import RecipeError
from edgekd.distill.method import Setting
from edgekd.distill.methods import mipkd

OFF = mipkd.Config(task=0, teacher=0, feature=0, block=0, autoencoder=0)
NAMES = ("a", "b", "c")


class Net(nn.Module):
    """Three taps of ``width`` channels, and an output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(3 if i == 0 else width, 3 if i == 3 else width, 3, padding=1) for i in range(4)
        )

    def taps(self, x, start=0):
        """Tap name → value, from ``x``, which is the input or the value of tap ``start - 1``."""
        found = {}
        for name, stage in list(zip((*NAMES, "output"), self.stages, strict=True))[start:]:
            x = found[name] = stage(x)
        return found


class Pair:
    """Two networks, one batch's taps of both, and a ``resume`` that writes down what it was asked for."""

    def __init__(self, wide_s: int = 4, wide_t: int = 6) -> None:
        torch.manual_seed(0)
        self.networks = {"student": Net(wide_s), "teacher": Net(wide_t).requires_grad_(False)}
        x = torch.rand(2, 3, 5, 7)
        self.student = {"input": x, **self.networks["student"].taps(x)}
        self.teacher = {"input": x, **self.networks["teacher"].taps(x)}
        self.target = torch.rand(2, 3, 5, 7)
        self.asked: list[tuple[str, str, str]] = []

    def resume(self, role, at, value, until):
        self.asked.append((role, at, until))
        assert value.shape == getattr(self, role)[at].shape
        return self.networks[role].taps(value, NAMES.index(at) + 1)[until]

    def loss(self, **options) -> mipkd.MiPKD:
        shapes = [{name: tuple(tap.shape) for name, tap in taps.items()} for taps in (self.student, self.teacher)]
        setting = Setting(functional.l1_loss, False, *shapes, self.resume)
        return mipkd.make_loss(dataclasses.replace(OFF, **options), setting)

    def terms(self, **options):
        return self.loss(**options)(self.student, self.teacher, self.target, 0.0)


def identity(loss: mipkd.MiPKD) -> None:
    """Make every encoder and decoder hand on what it is given."""
    for module in loss.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)


def test_every_term_is_there_and_each_switches_off():
    names = [field.name for field in dataclasses.fields(mipkd.Config)][:5]
    everything = dict.fromkeys(names, 1.0)
    assert list(Pair().terms(**everything)) == names == ["task", "teacher", "feature", "block", "autoencoder"]
    for name in names:
        assert set(Pair().terms(**(everything | {name: 0}))) == set(names) - {name}


def test_output_terms_are_mean_absolute_differences():
    pair = Pair()
    terms = pair.terms(task=2, teacher=3)
    assert terms["task"].item() == pytest.approx(2 * (pair.student["output"] - pair.target).abs().mean().item())
    apart = pair.student["output"] - pair.teacher["output"]
    assert terms["teacher"].item() == pytest.approx(3 * apart.abs().mean().item())


@pytest.mark.parametrize(("share", "expected"), [(1.0, 2 + 2 + 2), (0.0, 0.0)])
def test_feature_term_by_hand(share, expected):
    pair = Pair(wide_s=6)
    loss = pair.loss(feature=1, student_share=share)
    identity(loss)
    # All of the mixture from a student that is 2 higher everywhere, at three taps; or none of it.
    student = {name: tap + 2 for name, tap in pair.teacher.items()}
    assert loss(student, pair.teacher, pair.target, 0.0)["feature"].item() == pytest.approx(expected, abs=1e-6)


def test_the_mask_is_random_over_channels_and_pixels_and_follows_the_seed():
    pair = Pair(wide_s=6)
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
        loss(*({k: v * factor for k, v in taps.items()} for taps in (pair.student, pair.teacher)), pair.target, 0.0)
        for factor in (1.0, 50.0)
    )
    assert large["autoencoder"].item() == pytest.approx(small["autoencoder"].item(), rel=1e-4)


def test_equal_networks_reach_the_floor():
    pair = Pair(wide_s=6)
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
    assert pair.asked == [(role, "a", "output")]
    torch.manual_seed(3)
    at = loss.positions[0]
    value = at.decode(role, at.mix(pair.student["a"], pair.teacher["a"]))
    expected = pair.networks[role].taps(value, 1)["output"] - pair.teacher["output"]
    assert found.item() == pytest.approx(2 * expected.abs().mean().item())


def test_a_path_switches_and_each_stretch_begins_where_the_last_one_ended():
    seen = set()
    for seed in range(40):
        pair = Pair()
        loss = pair.loss(block=1)
        torch.manual_seed(seed)
        loss(pair.student, pair.teacher, pair.target, 0.0)
        starts, ends = [at for _, at, _ in pair.asked], [until for *_, until in pair.asked]
        assert (starts[0], ends[-1]) == ("a", "output")
        assert starts[1:] == ends[:-1]
        roles = [role for role, *_ in pair.asked]
        assert all(one != other for one, other in itertools.pairwise(roles))
        seen.add(tuple(pair.asked))
    assert len(seen) == 2 ** len(NAMES)


def test_a_mixture_on_the_way_takes_what_the_path_brings():
    # Student at a, teacher from b on: b's mixture is of what came from the student's block, not of its plain feature.
    for seed in range(200):
        pair = Pair(wide_s=6)
        loss = pair.loss(block=1, student_share=1.0)
        identity(loss)
        torch.manual_seed(seed)
        brought = {name: tap + 9 for name, tap in pair.student.items()} | {"a": pair.student["a"]}
        found = loss(brought, pair.teacher, pair.target, 0.0)["block"]
        if pair.asked == [("student", "a", "b"), ("teacher", "b", "output")]:
            mixed = pair.networks["teacher"].taps(pair.student["b"], 2)["output"]
            assert found.item() == pytest.approx((mixed - pair.teacher["output"]).abs().mean().item(), rel=1e-5)
            return
    pytest.fail("no seed drew this path")


def test_once_enters_anywhere_and_costs_one_forward():
    asked = set()
    for seed in range(40):
        pair = Pair()
        loss = pair.loss(block=1, path="once")
        torch.manual_seed(seed)
        loss(pair.student, pair.teacher, pair.target, 0.0)
        assert len(pair.asked) == 1
        asked.add(pair.asked[0])
    assert asked == {(role, name, "output") for role in ("student", "teacher") for name in NAMES}


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
    assert Pair(wide_s=6).loss(feature=1).positions[0].decode_s is None
    assert Pair(wide_s=4).loss(feature=1, width=5, layers=2).positions[0].decode_s is not None
    assert len(Pair().loss(feature=1, width=5, layers=2).positions[0].encode_s) == 3


def test_without_mixers_nothing_is_learnt_and_no_tap_is_needed():
    loss = mipkd.make_loss(dataclasses.replace(OFF, teacher=1), Setting(functional.l1_loss, False, {}, {}))
    assert not list(loss.parameters())


def test_wrong_settings_are_refused():
    shape = (2, 4, 8, 8)
    with pytest.raises(RecipeError, match=r"found 0 taps"):
        mipkd.make_loss(mipkd.Config(block=0), Setting(functional.l1_loss, False, {"output": shape}, {"output": shape}))
    taps = {"mid": shape}
    with pytest.raises(RecipeError, match=r"block = 0\.1.*set block = 0"):
        mipkd.make_loss(mipkd.Config(), Setting(functional.l1_loss, False, taps, taps))
    for other in ((2, 6, 4, 8), (2, 6, 64)):
        with pytest.raises(RecipeError, match=r"tap 'mid' is \[2, 4, 8, 8\] in the student and \[2, 6, "):
            mipkd.make_loss(mipkd.Config(block=0), Setting(functional.l1_loss, False, taps, {"mid": other}))


@pytest.mark.parametrize("options", [{"student_share": 1.5}, {"student_blocks": -0.1}, {"layers": 0}, {"width": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(RecipeError, match=f"{next(iter(options))} = {next(iter(options.values()))}"):
        mipkd.Config(**options)
