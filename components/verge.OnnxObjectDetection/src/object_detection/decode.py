"""Turn a file into pixels, or say in one sentence why not.

The header is looked at before a single pixel is decoded, so a picture that claims to be
enormous costs no memory, and nothing but the four formats of `FORMATS` is ever parsed. A JPEG that
is much larger than what the caller needs is decoded at a half, a quarter or an eighth of its size,
which its coding allows at a fraction of the cost.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from object_detection.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Sufficient = Callable[[int, int], tuple[int, int]]
    """Takes width and height of an upright picture; returns those at which it may be decoded."""

FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_JPEG = frozenset({"JPEG", "MPO"})
"""What a JPEG calls itself; the second holds several."""

_BYTES_PER_PIXEL = 8
"""Four channels of 16 bits: no uncompressed picture needs more."""
_HEADER_BYTES = 1 << 20
_SAME_TIME = 1e-6
_BACKGROUND = 114
"""Grey behind transparent pixels, the same as around a letterboxed picture."""
_SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
_SHORTEST = 64
"""No whole picture is shorter: a known signature in fewer bytes is the start of one."""
_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {_TRANSPOSE[code] for code in (5, 6, 7, 8)}
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, EOFError)
"""What the decoders raise for broken files (a broken PNG is a SyntaxError)."""

# The limit of this module is the caller's, checked before decoding.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: NDArray[np.uint8]
    """Rows by columns by 3, RGB, upright as the camera meant it (EXIF orientation applied).

    Fewer than `height` by `width` if it was decoded at a part of its size.
    """
    width: int
    """Of the picture, in pixels."""
    height: int
    sha256: str
    """Of the file, in hexadecimal digits."""
    size: int
    """Of the file, in bytes."""


@dataclass(frozen=True)
class Expected:
    """The file that was announced: only this one is looked at."""

    size: int | None = None
    """In bytes; None if that was not said."""
    modified: float | None = None
    """Seconds since the epoch; None if that was not said."""

    def fits(self, status: os.stat_result) -> bool:
        """Return whether a file is still what it was."""
        # A float of JSON holds no nanoseconds; two states of a file are milliseconds apart.
        same_time = self.modified is None or abs(status.st_mtime - self.modified) < _SAME_TIME
        return same_time and self.size in {None, status.st_size}


ANY = Expected()


def read_picture(
    path: str,
    max_pixels: int,
    sufficient: Sufficient | None = None,
    expected: Expected = ANY,
) -> Picture:
    """Read and decode a file of at most `max_pixels` pixels. Raises PictureError.

    With `sufficient`, the pixels may be fewer than the picture's, but not fewer than it says.
    """
    data = _read_file(path, max_pixels * _BYTES_PER_PIXEL + _HEADER_BYTES, expected)
    pixels, (width, height) = decode_picture(data, max_pixels, sufficient)
    return Picture(pixels, width, height, hashlib.sha256(data).hexdigest(), len(data))


def decode_picture(
    data: bytes, max_pixels: int, sufficient: Sufficient | None = None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the pixels, rows by columns by 3, RGB, and the picture's width and height.

    Raises PictureError.
    """
    if not data:
        raise PictureError("not_a_picture", "the file is empty")
    # Decoders warn about odd metadata; only what they cannot decode matters here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open(data)
        with image:
            _check_size(image, max_pixels)
            try:
                upright, size = _load(image, sufficient)
                return _to_rgb(upright), size
            except _DECODER_ERRORS as error:
                raise _decoding_failed(data, image.format or "", error) from error
            except MemoryError:
                reason = f"decoding {image.width} x {image.height} pixels needs too much memory"
                raise PictureError("too_large", reason) from None


def _read_file(path: str, limit: int, expected: Expected) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PictureError("missing", "the file no longer exists") from None
    except (OSError, ValueError) as error:
        raise PictureError("unreadable", f"the file cannot be opened: {_cause(error)}") from error
    try:
        return _read_descriptor(descriptor, limit, expected)
    except OSError as error:
        raise PictureError("unreadable", f"the file cannot be read: {_cause(error)}") from error
    finally:
        os.close(descriptor)


def _read_descriptor(descriptor: int, limit: int, expected: Expected) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("not_a_file", "the path does not lead to a regular file")
    if status.st_size > limit:
        reason = f"the file has {status.st_size} bytes, more than the {limit} allowed"
        raise PictureError("too_large", reason)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(limit)
    # Looked at afterwards: then nobody wrote while it was read, either.
    if not expected.fits(os.fstat(descriptor)):
        raise PictureError("changed", "the file was written again after it was announced")
    return data


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith(_SIGNATURES) and len(data) < _SHORTEST:
            raise PictureError("truncated", "the file ends within its header") from None
        known = ", ".join(FORMATS)
        reason = f"the content is no picture of a known format ({known})"
        raise PictureError("not_a_picture", reason) from None
    except _DECODER_ERRORS as error:
        raise _decoding_failed(data, "", error) from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        reason = (
            f"the picture has {image.width} x {image.height} pixels, more than the "
            f"{max_pixels} that `maxPixels` allows"
        )
        raise PictureError("too_large", reason)


def _decoding_failed(data: bytes, name: str, error: BaseException) -> PictureError:
    if _is_cut(data, name) or "truncated" in str(error).lower():
        return PictureError("truncated", "the file ends before the picture is complete")
    return PictureError("unreadable", f"the picture cannot be decoded: {_cause(error)}")


def _is_cut(data: bytes, name: str) -> bool:
    """Return whether the mark that ends a file of this format is absent."""
    if name == "PNG" or data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-64:]
    if name in _JPEG or data.startswith(b"\xff\xd8"):
        return not data.rstrip(b"\0").endswith(b"\xff\xd9")
    if name == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    return False


def _load(image: Image.Image, sufficient: Sufficient | None) -> tuple[Image.Image, tuple[int, int]]:
    """Decode a picture; return it upright, and its size, which its pixels may be fewer than."""
    if image.format not in _JPEG:
        # Asked for its orientation, a PNG decodes itself and keeps quiet about what is broken in
        # it; a TIFF turns itself upright while it is decoded.
        image.load()
    turn = _read_turn(image)
    size = image.size[::-1] if turn in _SIDEWAYS else image.size
    if sufficient is not None:
        _decode_smaller(image, sufficient(*size), sideways=turn in _SIDEWAYS)
    image.load()
    return image if turn is None else image.transpose(turn), size


def _read_turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TRANSPOSE.get(image.getexif().get(_ORIENTATION, 1))
    except (*_DECODER_ERRORS, TypeError):
        return None  # Unreadable metadata says nothing about the orientation.


def _decode_smaller(image: Image.Image, least: tuple[int, int], *, sideways: bool) -> None:
    """Have a JPEG decoded at the smallest size that its coding offers and that is enough."""
    image.draft(image.mode, least[::-1] if sideways else least)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F":
        raise PictureError("unreadable", "pixels stored as floating-point numbers are unsupported")
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65_535) >> 8
        return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (_BACKGROUND,) * 3 + (255,))
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    if image.mode != "RGB":
        image = image.convert("RGB")
    pixels: NDArray[np.uint8] = np.asarray(image)
    return pixels


def _cause(error: BaseException) -> str:
    """Return what a library said, without the path and in one line."""
    text: Any = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
