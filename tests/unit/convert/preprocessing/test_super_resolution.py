"""Super-resolution in the graph: bytes round half up, as the task's own pictures do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekd.convert.preprocessing import super_resolution as member
from edgekd.core.errors import InputError
from edgekd.tasks import super_resolution as task

OPTIONS = {"scale": 2}


def test_images_round_half_up() -> None:
    halves = (np.arange(1, 255, dtype=np.float64) + 0.5) / 255  # a grey level and a half, to float32's last digit
    output = np.broadcast_to(halves.astype(np.float32), (3, 2, 254)).copy()
    found = member.Postprocess(OPTIONS)(torch.from_numpy(output)[None])[0].numpy()
    expected = task.picture(task.postprocess(output, OPTIONS), OPTIONS)
    exact = (output.astype(np.float64) * 255) % 1 == 0.5
    assert np.abs(found.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(found[exact.transpose(1, 2, 0)], expected[exact.transpose(1, 2, 0)])


def test_values_out_of_range_are_clipped() -> None:
    output = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0]).expand(1, 3, 1, 6)
    assert member.Postprocess(OPTIONS)(output)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]


def test_every_byte_survives_the_round_trip() -> None:
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    found = member.Postprocess(OPTIONS)(member.Preprocess(OPTIONS, (16, 16))(image))
    assert torch.equal(found, image)


@pytest.mark.parametrize("make", [member.Postprocess, lambda options: member.Preprocess(options, (8, 8))])
def test_a_wrong_option_is_named(make) -> None:
    with pytest.raises(InputError, match=r"task\.scale = 0"):
        make({"scale": 0})
