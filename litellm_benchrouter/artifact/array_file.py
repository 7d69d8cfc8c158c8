"""Arrays of an artifact: mapped, never unpickled, and of the type and shape that they must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError

_BLOCK = 1_024  # rows checked at once: the interpreter may be kept meanwhile


def open_array(folder: Path, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array.

    Raises
    ------
    ArtifactError
        If it is of another type or shape; with both.
    """
    path = folder / name
    try:
        # Not np.load, which would also open archives and pickles.
        array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a .npy file ({error}); build again.") from error
    if array.dtype != dtype or array.shape != shape:
        raise ArtifactError(
            f"{path} holds {array.dtype} of shape {array.shape}, the manifest says "
            f"{np.dtype(dtype)} of shape {shape}; build again."
        )
    return array


def open_numbers(folder: Path, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Open an array in which a number may be unknown (NaN), but not infinite."""
    array = open_array(folder, name, dtype, shape)
    if np.isinf(array).any():
        raise ArtifactError(f"{folder / name} holds infinite numbers; build again.")
    return array


def write_array(path: Path, array: NDArray[Any], dtype: type) -> None:
    """Write an array as another type, a block after the other; the bytes are those of `np.save`."""
    written = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=array.shape)
    for start in range(0, len(array), _BLOCK):
        written[start : start + _BLOCK] = array[start : start + _BLOCK]
    written.flush()


def first_not_unit(vectors: NDArray[np.floating], tolerance: float) -> int | None:
    """Return the first row whose squared length is further than `tolerance` from 1, if any."""
    for start in range(0, len(vectors), _BLOCK):
        block = _magnitudes(vectors[start : start + _BLOCK])
        with np.errstate(over="ignore", invalid="ignore"):
            unit = np.abs(np.einsum("nd,nd->n", block, block) - 1.0) < tolerance
        if not unit.all():
            return start + int(unit.argmin())
    return None


def _magnitudes(block: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a block as float32; of float16 without the signs, and what is infinite or NaN is huge.

    numpy converts float16 number by number; moving the bits of all at once takes a quarter of that.
    """
    if block.dtype != np.float16:
        return block.astype(np.float32, copy=False)
    bits = (block.view(np.uint16) << 1).astype(np.uint32)
    bits <<= 12
    found = bits.view(np.float32)
    found *= np.float32(2.0**112)  # the exponents of the two are counted from 15 and from 127
    return found


def holds_only(array: NDArray[np.uint8], values: tuple[int, ...]) -> bool:
    """Say whether an array holds nothing but some values."""
    return all(
        np.logical_or.reduce([block == value for value in values]).all()
        for start in range(0, len(array), _BLOCK)
        for block in [array[start : start + _BLOCK]]
    )
