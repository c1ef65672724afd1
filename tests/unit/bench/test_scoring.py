"""All engines scored together, sample by sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekd.bench.candidate import Candidate
from edgekd.bench.previews import load_previews
from edgekd.bench.scoring import score
from edgekd.core.network_info import NetworkInfo
from edgekd.core.samples import Sample, Samples
from edgekd.core.tensor import TensorSpec
from edgekd.tasks import super_resolution

OPTIONS = {"scale": 2}
NETWORK = NetworkInfo("student", task="super_resolution", task_options=OPTIONS)


class Enlarger:
    """A session that repeats every pixel, darkened by ``factor``."""

    inputs = (TensorSpec("x", (1, 3, "h", "w"), "float32"),)
    outputs = (TensorSpec("y", (1, 3, "H", "W"), "float32"),)

    def __init__(self, factor=1.0):
        self.factor = factor

    def run(self, feeds):
        return {"y": np.float32(self.factor) * feeds["x"].repeat(2, axis=2).repeat(2, axis=3)}

    def close(self):
        """Nothing is held."""


@pytest.fixture
def samples():
    made = []
    for index, picture in enumerate(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)):
        image, target = super_resolution.degrade(picture, OPTIONS)
        feeds = {"x": super_resolution.preprocess(image, OPTIONS)[None]}
        made.append(Sample(f"image {index}", feeds, target, image))
    return Samples(tuple(made), "6 images of a test")


@pytest.fixture
def pair(tmp_path):
    candidates = [Candidate(key, tmp_path / "x.engine", network=NETWORK) for key in ("good", "dark")]
    return candidates, {"good": Enlarger(), "dark": Enlarger(0.5)}


def test_each_candidate_and_the_baseline_are_scored(pair, samples, tmp_path):
    found = score(*pair, samples, tmp_path / "result.json")
    assert found.primary == "psnr_y_db"
    assert found.by_key["good"].overall["psnr_y_db"] > found.by_key["dark"].overall["psnr_y_db"]
    assert len(found.by_key["dark"].per_sample["psnr_y_db"]) == 6
    assert found.baseline is not None
    expected = super_resolution.baseline(samples[1].image, OPTIONS)
    metric = super_resolution.metric(expected, samples[1].target, OPTIONS)
    assert found.baseline.per_sample["psnr_y_db"][1] == metric["psnr_y_db"]
    previews = load_previews(tmp_path / "result.json")
    assert previews is not None
    assert list(previews.pictures) == [super_resolution.BASELINE, "good", "dark"]
    assert previews.names == tuple(f"image {index}" for index in range(4))


def test_a_sample_without_its_image_leaves_the_baseline_out(pair, samples, tmp_path):
    last = replace(samples[5], image=None)
    found = score(*pair, Samples((*samples.samples[:5], last), "test"), tmp_path / "result.json")
    assert found.baseline is None
    assert len(found.by_key["good"].per_sample["psnr_y_db"]) == 6


def test_without_ground_truth_the_first_engine_is_the_reference(pair, samples, tmp_path):
    without = Samples(tuple(replace(sample, target=None) for sample in samples), "test images")
    found = score(*pair, without, tmp_path / "result.json")
    assert found.primary == "agreement_psnr_y_db"
    assert found.by_key["good"].overall["agreement_psnr_y_db"] == 100.0
    assert found.by_key["dark"].overall["agreement_psnr_y_db"] < 30
    assert "good" in found.notes[0]
    assert found.baseline is None


def test_one_engine_without_ground_truth_scores_nothing(pair, samples, tmp_path):
    without = Samples(tuple(replace(sample, target=None) for sample in samples), "test images")
    found = score(pair[0][:1], pair[1], without, tmp_path / "result.json")
    assert (found.primary, found.by_key) == ("", {})


def test_an_unknown_task_scores_nothing(pair, samples, tmp_path):
    candidates = [replace(candidate, network=NetworkInfo()) for candidate in pair[0]]
    assert score(candidates, pair[1], samples, tmp_path / "result.json").by_key == {}
    assert not (tmp_path / "pictures.npz").exists()
