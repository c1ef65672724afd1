"""Segmentation in the graph: the label of the largest logit, the first one where they are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.convert.preprocessing import segmentation as member
from edgekd.core.errors import InputError
from edgekd.tasks import segmentation as task
from tests.unit.convert.task_networks import photograph


def test_labels_are_those_of_the_largest_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 5, 8, 6)).astype(np.float32)
    found = member.Postprocess({"classes": 5})(torch.from_numpy(logits))
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), logits.argmax(axis=1))


def test_of_equal_logits_the_first_wins_as_in_numpy() -> None:
    logits = torch.zeros(1, 3, 1, 2)
    logits[0, 1:, 0, 1] = 4.0
    assert member.Postprocess({"classes": 3})(logits).tolist() == [[[0, 1]]]


def test_the_recipes_mean_is_used() -> None:
    options, image = {"classes": 7, "mean": [0.4, 0.5, 0.6]}, photograph("retina_a", (32, 48))
    found = member.Preprocess(options, (32, 48))(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(found, task.preprocess(image, options), rtol=0, atol=member.TOLERANCE)


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(InputError, match=r"task\.classes = 'two'"):
        member.Postprocess({"classes": "two"})
