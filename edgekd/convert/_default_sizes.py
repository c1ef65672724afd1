"""Default sizes of dynamic dimensions, guessed from the role of each dimension and tried until the network runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgekd.core.tensor import TensorSpec

# Images: what classifiers take, then powers of two. Lengths: the 512 and 576 samples of voice activity detectors, then
# powers of two, and one second at 16 kHz.
_IMAGE_SIZES = (224, 256, 320, 512, 640, 64, 32)
_LENGTHS = (512, 576, 256, 128, 64, 1024, 16000, 16, 1)
_STATE_NAMES = ("state", "h", "c", "h0", "c0")  # of recurrent networks: (layers, batch, features)


def candidate_sizes(
    inputs: Sequence[TensorSpec], names: Sequence[str], dims: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """Yield sizes for all ``names``, the likeliest first: batch 1, colour; then other heights, widths and lengths.

    Args:
        inputs: The network's inputs.
        names: Every dynamic dimension of theirs.
        dims: Sizes that the user has given.
    """
    free = [name for name in names if name not in dims]
    if not free:
        yield {name: dims[name] for name in names}
        return
    roles: dict[str, str] = {}
    for spec in reversed(inputs):  # so that the first input that has a dimension decides
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str):
                roles[dim] = _role(spec, axis)
    images = _IMAGE_SIZES + _IMAGE_SIZES[-1:] * (len(_LENGTHS) - len(_IMAGE_SIZES))
    for channels in (3, 1) if "channel" in roles.values() else (3,):
        for image, length in zip(images, _LENGTHS, strict=True):
            by_role = {"batch": 1, "channel": channels, "image": image, "length": length}
            yield {name: dims.get(name, by_role[roles[name]]) for name in names}
            if not {roles[name] for name in free} & {"image", "length"}:
                break  # the further candidates would be the same


def _role(spec: TensorSpec, axis: int) -> str:
    """Guess what a dynamic dimension is: "batch", "channel", "image" (height or width) or "length"."""
    dim = str(spec.shape[axis]).lower()
    if axis == 0 or "batch" in dim:
        return "batch"
    if len(spec.shape) != 4:
        return "batch" if spec.name.lower() in _STATE_NAMES and axis == 1 else "length"
    channels_last = spec.shape[3] in (1, 3)
    return "channel" if axis == (3 if channels_last else 1) else "image"
