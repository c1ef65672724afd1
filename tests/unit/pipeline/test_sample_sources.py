"""Which samples a pair is fed: with ground truth where there is one; other samples where a file or its name changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.core.artifact import read_artifact
from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract, resolved
from edgekd.core.preprocessing import input_spec
from edgekd.core.recipe import pairs_root
from edgekd.core.samples import SampleArchive
from edgekd.core.tensor import TensorSpec
from edgekd.pipeline import sample_sources
from edgekd.pipeline.job import Job, NetworkSource, job_from
from edgekd.pipeline.lone_network import network_of
from tests.pipeline.tiny import labelled, tiny_onnx, tiny_pair_of


def _plans(job: Job) -> dict[str, sample_sources.SamplePlan]:
    network = network_of(job, "student")
    plans = sample_sources.plans(job, job.sources["student"], (input_spec(job.recipe.export),), network)
    return {plan.name: plan for plan in plans}


def _made(plan: sample_sources.SamplePlan, folder: Path) -> SampleArchive:
    path = folder / f"{plan.name}.npz"
    plan.write(path)
    return SampleArchive(path)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_from(f"{tiny_pair_of('segmentation', tmp_path / 'pair')}/small", tmp_path / "out")


def test_images_without_labels_have_no_target(job: Job, tmp_path: Path) -> None:
    for plan in _plans(job).values():
        samples = _made(plan, tmp_path)
        assert (samples.has_target, samples.has_image, len(samples), samples.origin) == (False, True, 8, "shipped")
        assert samples[0].feeds["input"].shape == (1, 3, 32, 32)


def test_a_folder_with_labels_has_targets(job: Job, tmp_path: Path) -> None:
    given = job.with_data(None, {}, labelled("segmentation", tmp_path / "data"))
    samples = _made(_plans(given)["evaluation"], tmp_path)
    assert (samples.has_target, len(samples), samples.origin) == (True, 6, "user")
    assert np.shape(samples[5].target) == (32, 32)
    assert np.asarray(samples[0].image).dtype == np.uint8


def test_an_archive_has_a_manifest_with_its_digest(job: Job, tmp_path: Path) -> None:
    plan = _plans(job)["calibration"]
    samples = _made(plan, tmp_path)
    artifact = read_artifact(samples.path)
    assert (artifact.kind, artifact.made_by) == ("samples", plan.made_by)
    assert artifact.facts == {"digest": samples.digest, "samples": 8, "summary": samples.source}


def test_an_imported_network_gets_images_or_synthetic_numbers(tmp_path: Path) -> None:
    job = job_from(str(tiny_onnx(tmp_path / "net.onnx")), tmp_path / "out")
    source, network = NetworkSource(tmp_path / "net.onnx"), network_of(job, "model")
    image = TensorSpec("x", (1, 3, 16, 16), "float32")
    contract, assumed = resolved(InputContract(), image)
    fed = replace(network, input=contract, input_assumed=assumed)
    (plan,) = sample_sources.plans(job, source, (image,), fed)
    assert _made(plan, tmp_path).origin == "shipped"
    numbers = (TensorSpec("x", (1, 7), "float32"),)
    (plan,) = sample_sources.plans(job, source, numbers, network)
    samples = _made(plan, tmp_path)
    assert (samples.origin, len(samples)) == ("synthetic", 8)
    with pytest.raises(InputError, match=r"--calibration-images mine .* x 1x7"):
        sample_sources.plans(job.with_data(tmp_path / "mine", {}), source, numbers, network)


def test_a_renamed_image_makes_other_samples(job: Job, tmp_path: Path) -> None:
    data = labelled("segmentation", tmp_path / "data")
    given = job.with_data(None, {}, data)
    before = _plans(given)["evaluation"].made_by
    assert _plans(given)["evaluation"].made_by == before
    (data / "valannot" / "5.png").rename(data / "valannot" / "6.png")
    (data / "val" / "5.png").rename(data / "val" / "6.png")
    assert _plans(given)["evaluation"].made_by != before


def test_a_pair_that_names_no_images_gets_the_shipped_photographs(job: Job, tmp_path: Path) -> None:
    recipe = replace(job.recipe, data=replace(job.recipe.data, calibration=None, evaluation=None))
    plans = _plans(replace(job, recipe=recipe))
    shipped = pairs_root() / "edsr_from_edsr" / "pictures"
    for name, plan in plans.items():
        assert list(_made(plan, tmp_path).names) == sorted(path.stem for path in (shipped / name).iterdir())
    assert set(plans) == {"calibration", "evaluation"}


def test_a_pair_that_names_nothing_to_evaluate_on_is_not_scored(job: Job) -> None:
    recipe = replace(job.recipe, data=replace(job.recipe.data, evaluation=""))
    assert list(_plans(replace(job, recipe=recipe))) == ["calibration"]


def test_a_folder_that_is_not_there(job: Job, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot list .*gone"):
        _plans(job.with_data(None, {}, tmp_path / "gone"))


def test_wrong_options_of_a_layout_are_named(job: Job, tmp_path: Path) -> None:
    recipe = replace(job.recipe, data=replace(job.recipe.data, options={"crops": 3}))
    given = replace(job, recipe=recipe).with_data(None, {}, labelled("segmentation", tmp_path / "data"))
    with pytest.raises(InputError, match=r"unknown key .*data\.options\.crops"):
        _plans(given)["evaluation"].write(tmp_path / "e.npz")
