"""Reading a user's folder of images, with an error that names the file wherever one cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgekd.core.errors import InputError

# Files that often lie beside images and are none.
_IGNORED_FILES = {".txt.swp", ".ds_store", "thumbs.db", "licenses.md", "readme.md"}
_MIB = 1 << 20


def picture_paths(folder: Path) -> list[Path]:
    """List the images of ``folder``, not of its sub-folders, sorted by name.

    Raises:
        InputError: There is no such folder, or no file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a folder of PNG or JPEG images was expected")
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name.lower() not in _IGNORED_FILES)
    if not paths:
        folders = sum(p.is_dir() for p in folder.iterdir())
        found = f"holds {folders} folders and no images" if folders else "is empty"
        raise InputError(f"{folder} {found}; a folder of PNG or JPEG images was expected")
    return paths


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one image as (H, W, 3) uint8 RGB. Palettes and greys become RGB, transparency is dropped.

    Raises:
        InputError: The file is not an image, is truncated, or has more than 8 bits per channel.
    """
    try:
        with Image.open(path) as picture:
            # Pillow would clip these to 8 bits without a word.
            if picture.mode.startswith("I") or picture.mode == "F":
                bits = 16 if picture.mode.startswith("I") else 32
                raise InputError(
                    f"{path} has {bits} bits per channel (mode {picture.mode}); an 8-bit image was expected: convert "
                    "it first"
                )
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError as err:
        raise InputError(f"{path} does not exist; a PNG or JPEG image was expected") from err
    except UnidentifiedImageError as err:
        raise InputError(f"{path} is not an image in a known format; remove it from the folder") from err
    # Pillow raises SyntaxError on broken PNG chunks.
    except (OSError, SyntaxError, Image.DecompressionBombError) as err:
        raise InputError(f"{path} cannot be decoded ({err}); remove it from the folder, or repair it") from err


def read_pictures(folder: Path) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Yield (path, (H, W, 3) uint8) for each image of ``folder``, sorted by name.

    Raises:
        InputError: As ``picture_paths`` and ``read_picture``.
    """
    for path in picture_paths(folder):
        yield path, read_picture(path)


def write_picture(image: NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, 3) uint8 RGB or (H, W) uint8 grey, in the format that the suffix of ``path`` names."""
    Image.fromarray(image).save(path)


class PictureCache:
    """Decoded images by path, up to a limit; the others are read from disk each time.

    Args:
        limit_mib: Decoded bytes that are kept, MiB.
    """

    def __init__(self, limit_mib: int) -> None:
        self._free_bytes = limit_mib * _MIB
        self._images: dict[Path, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Return the number of images in memory."""
        return len(self._images)

    def add(self, path: Path, image: NDArray[np.uint8]) -> bool:
        """Keep the decoded image of ``path`` where it still fits; return whether it did.

        Args:
            path: Its file.
            image: (H, W, 3) uint8.
        """
        if image.nbytes > self._free_bytes:
            return False
        self._images[path] = image
        self._free_bytes -= image.nbytes
        return True

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return the image of ``path``, (H, W, 3) uint8, from memory or disk. Raises InputError as ``read_picture``."""
        return self._images[path] if path in self._images else read_picture(path)
