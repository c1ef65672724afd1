"""Classification in the graph: the recipe's mean and deviation, probabilities that sum to one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.convert.preprocessing import classification as member
from edgekd.core.errors import InputError
from edgekd.tasks import classification as task
from tests.unit.convert.task_networks import photograph


@pytest.mark.parametrize("changes", [{}, {"std": [0.2, 0.25, 0.3]}, {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}])
def test_the_recipes_mean_and_deviation_are_used(changes: dict[str, list[float]]) -> None:
    options, image = {"classes": 7, **changes}, photograph("hubble", (32, 48))
    found = member.Preprocess(options, (32, 48))(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(found, task.preprocess(image, options), rtol=0, atol=member.TOLERANCE)


def test_probabilities_sum_to_one_and_keep_the_order() -> None:
    logits = torch.tensor([[3.0, -80.0, 90.0, 0.5]])
    found = member.Postprocess({"classes": 4})(logits)[0]
    assert float(found.sum()) == pytest.approx(1.0)
    assert found.argsort().tolist()[-2:] == [0, 2]
    assert torch.isfinite(found).all()


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(InputError, match=r"task\.classes = 1"):
        member.Postprocess({"classes": 1})
    with pytest.raises(InputError, match="std"):
        member.Preprocess({"classes": 2, "std": [0.0, 1.0, 1.0]}, (8, 8))
