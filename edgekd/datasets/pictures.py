"""Reading a user's folder of pictures, and saying plainly what in it is not one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from edgekd.core.errors import InputError

# What people keep beside pictures and nobody means as one.
_PASSED_OVER = {".txt.swp", ".ds_store", "thumbs.db", "licenses.md", "readme.md"}


def picture_paths(folder: Path) -> list[Path]:
    """List the pictures of ``folder`` (not of its sub-folders), by name.

    Raises:
        InputError: There is no such folder, or no file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a folder of PNG or JPEG pictures was expected")
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name.lower() not in _PASSED_OVER)
    if not paths:
        folders = sum(p.is_dir() for p in folder.iterdir())
        found = f"holds {folders} folders and no pictures" if folders else "is empty"
        raise InputError(f"{folder} {found}; a folder of PNG or JPEG pictures was expected")
    return paths


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read one picture as (H, W, 3) uint8 RGB; palettes and greys are widened, transparency is dropped.

    Raises:
        InputError: The file is not a picture, is cut short, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I") or picture.mode == "F":
                raise InputError(
                    f"{path} has {16 if picture.mode.startswith('I') else 32} bits a channel (mode {picture.mode}); "
                    "8-bit pictures were expected: convert it first"
                )
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError as err:
        raise InputError(f"{path} does not exist; a PNG or JPEG picture was expected") from err
    except UnidentifiedImageError as err:
        raise InputError(f"{path} is not a picture that can be read; take it out of the folder") from err
    except (OSError, SyntaxError, Image.DecompressionBombError) as err:
        raise InputError(f"{path} cannot be read as a picture ({err}); take it out of the folder, or mend it") from err


def read_pictures(folder: Path) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Yield (path, (H, W, 3) uint8) for each picture of ``folder``. Raises InputError as the two functions above."""
    for path in picture_paths(folder):
        yield path, read_picture(path)


def write_picture(image: NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, 3) uint8 RGB as the format that ``path``'s suffix names."""
    Image.fromarray(image).save(path)
