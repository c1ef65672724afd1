"""The input contract: what is known precedes what is assumed, and images are fed by it as timm and Pillow feed them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgekd.core.errors import InputError, RecipeError
from edgekd.core.input_contract import InputContract, contract_view, feed, fit, resolved
from edgekd.core.resize import resize
from edgekd.core.tensor import TensorSpec
from edgekd.tasks import segmentation

IMAGE = np.random.default_rng(0).integers(60, 190, (37, 53, 3), dtype=np.uint8)
SPEC = TensorSpec("x", (1, 3, 24, 32), "float32")


def test_what_nobody_said_is_assumed_and_named() -> None:
    contract, assumed = resolved(InputContract(mean=(0.5,), std=(0.25,), channels="bgr"), SPEC)
    assert assumed == ("scale", "resize")
    assert (contract.size, contract.layout, contract.scale, contract.resize) == ((24, 32), "nchw", 1.0, "stretch")
    whole, nothing = resolved(contract, SPEC)
    assert (whole, nothing) == (contract, ())


def test_integers_are_fed_as_they_are() -> None:
    contract, assumed = resolved(InputContract(), TensorSpec("x", (1, 24, 32, 3), "uint8"))
    assert assumed == ("channels", "resize")
    np.testing.assert_array_equal(feed(contract, IMAGE), IMAGE)


@pytest.mark.parametrize(
    ("known", "spec"),
    [
        (InputContract(size=(24, 24)), SPEC),
        (InputContract(channels="gray"), SPEC),
        (InputContract(channels="rgb"), TensorSpec("x", (1, 1, 8, 8), "float32")),
        (InputContract(layout="nhwc"), SPEC),
        (InputContract(scale=255.0), TensorSpec("x", (1, 7), "float32")),
    ],
)
def test_a_contract_that_contradicts_the_network_is_refused(known: InputContract, spec: TensorSpec) -> None:
    with pytest.raises(InputError, match="the network takes x"):
        resolved(known, spec)


@pytest.mark.parametrize(
    "fields", [{"mean": (1.0, 2.0)}, {"std": (0.0,)}, {"scale": 0.0}, {"size": (0, 4)}, {"crop_share": 2.0}]
)
def test_impossible_values_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(fields))):
        InputContract(**fields)  # type: ignore[arg-type]


def test_pixels_are_scaled_normalised_and_ordered() -> None:
    orange = np.full((2, 2, 3), (255, 102, 0), np.uint8)
    contract = InputContract(scale=255.0, mean=(127.0,), std=(128.0,), channels="bgr", layout="nchw")
    np.testing.assert_allclose(feed(contract, orange)[:, 0, 0], [-127 / 128, -25 / 128, 1.0], rtol=1e-6)
    gray = replace(contract, channels="gray", mean=(0.0,), std=(1.0,))
    assert feed(gray, orange)[0, 0, 0] == np.asarray(Image.fromarray(orange).convert("L"))[0, 0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(20, 31), (80, 100), (37, 20)])
def test_resizing_is_pillows(interpolation: str, size: tuple[int, int]) -> None:
    height, width = size
    how = Image.Resampling[interpolation.upper()]
    expected = np.asarray(Image.fromarray(IMAGE).resize((width, height), how), np.float64)
    found = resize(IMAGE, height, width, interpolation)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.clip(np.round(np.asarray(found, np.float64)), 0, 255), expected, atol=1)


def test_letterbox_keeps_proportions_and_pads() -> None:
    contract = InputContract(size=(20, 40), resize="letterbox", pad_value=114, pad_side="both")
    white = np.full((10, 10, 3), 255, np.uint8)
    framed = fit(contract, white)
    assert (framed[:, 10:30] == 255).all()
    assert (framed[:, :10] == 114).all()
    assert (framed[:, 30:] == 114).all()
    assert (fit(replace(contract, pad_side="end"), white)[:, :20] == 255).all()


def test_crop_keeps_the_centre() -> None:
    contract = InputContract(size=(16, 16), resize="crop", crop_share=0.5)
    image = np.zeros((32, 64, 3), np.uint8)
    image[8:24, 24:40] = 200  # the middle half of the shorter side
    assert (fit(contract, image) == 200).all()


def test_labels_follow_their_image() -> None:
    contract = InputContract(size=(4, 8), resize="letterbox", pad_value=0, pad_side="end")
    view = contract_view(segmentation, contract, fits=True)  # type: ignore[arg-type]
    image, labels = view.fit(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 2), None, {})
    assert labels is not None
    assert (image.shape, labels.shape) == ((4, 8, 3), (4, 8))
    assert set(np.unique(labels[:, :4])) == {2}
    assert set(np.unique(labels[:, 4:])) == {segmentation.IGNORED}
