"""Which samples a pair is fed: with truth where there is one, and other samples where a file or its name changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.core.errors import InputError
from edgekd.core.preprocessing import input_spec
from edgekd.core.recipe import pairs_root
from edgekd.pipeline import sample_sources
from edgekd.pipeline.job import Job, job_from
from tests.pipeline.tiny import labelled, tiny_pair_of


def _plans(job: Job) -> dict[str, sample_sources.Plan]:
    return sample_sources.plans(job, job.origins["student"], (input_spec(job.recipe.export),))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_from(f"{tiny_pair_of('segmentation', tmp_path / 'pair')}/small", tmp_path / "out")


def test_unlabelled_pictures_have_no_truth(job: Job) -> None:
    for name, plan in _plans(job).items():
        samples = plan.make()
        assert (name, samples.truth, len(samples)) == (name, None, 8)
        assert samples.inputs["input"].shape == (8, 1, 3, 32, 32)


def test_a_folder_with_labels_has_truth(job: Job, tmp_path: Path) -> None:
    given = job.with_data(None, {}, labelled("segmentation", tmp_path / "data"))
    samples = _plans(given)["evaluation"].make()
    assert samples.truth is not None
    assert samples.truth.shape == (6, 32, 32)
    assert samples.seen is not None
    assert samples.seen.dtype == np.uint8


def test_a_renamed_picture_makes_other_samples(job: Job, tmp_path: Path) -> None:
    data = labelled("segmentation", tmp_path / "data")
    given = job.with_data(None, {}, data)
    before = _plans(given)["evaluation"].made_by
    assert _plans(given)["evaluation"].made_by == before
    (data / "valannot" / "5.png").rename(data / "valannot" / "6.png")
    (data / "val" / "5.png").rename(data / "val" / "6.png")
    assert _plans(given)["evaluation"].made_by != before


def test_a_pair_that_names_no_pictures_gets_the_shipped_photographs(job: Job) -> None:
    recipe = replace(job.recipe, data=replace(job.recipe.data, calibration=None, evaluation=None))
    plans = _plans(replace(job, recipe=recipe))
    shipped = pairs_root() / "edsr_from_edsr" / "pictures"
    for name, plan in plans.items():
        assert list(plan.make().names) == sorted(path.stem for path in (shipped / name).iterdir())
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
    with pytest.raises(InputError, match=r"unknown key recipe\.data\.options\.crops"):
        _plans(given)["evaluation"].make()
