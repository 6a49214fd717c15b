"""Files of every kind become pixels or one clear rejection."""

import io
import os
import resource
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_detection import decode
from object_detection.errors import PictureError
from PIL import Image

LIMIT = 50_000_000


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def damaged_png() -> bytes:
    """Return a PNG of the right length whose data cannot be unpacked from the middle on."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(noise), "PNG"))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds almost nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


def bmp_of(width: int, height: int) -> bytes:
    """Return a BMP that claims a size and holds no pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + bytes(64)


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    """Return a picture whose four quarters differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    red = 255 * (columns < width // 2)
    green = 255 * (rows < height // 2)
    pixels = np.stack([red, green, np.full_like(red, 128)], axis=2).astype(np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "coffee.png"])
def test_decodes_real_pictures_as_opencv_does(pictures: Path, name: str) -> None:
    """Our pixels are those of an independent decoder."""
    found = decode.read_picture(str(pictures / name), LIMIT)
    expected = cv2.imread(str(pictures / name), cv2.IMREAD_COLOR)
    assert expected is not None
    assert np.array_equal(found.pixels, expected[:, :, ::-1])
    assert found.size == (pictures / name).stat().st_size


@pytest.mark.parametrize("name", decode.FORMATS)
def test_decodes_every_format(name: str) -> None:
    """Each of the formats that the documents name is decoded."""
    pixels, _ = decode.decode_picture(encode(gradient(), name), LIMIT)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[4, 4].astype(int) - [255, 255, 128]).max() < 12


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param("L", (182, 182, 182), id="grey"),
        pytest.param("1", (255, 255, 255), id="black and white"),
        pytest.param("P", (200, 180, 140), id="palette"),
        pytest.param("RGBA", (200, 180, 140), id="alpha"),
        pytest.param("LA", (182, 182, 182), id="grey with alpha"),
    ],
)
def test_brings_every_mode_to_rgb(mode: str, expected: tuple[int, int, int]) -> None:
    """Grey, palettes and alpha all become three channels of eight bits."""
    image = Image.new("RGB", (16, 16), (200, 180, 140)).convert("L" if mode == "LA" else "RGB")
    data = encode(image.convert(mode), "PNG")
    pixels, _ = decode.decode_picture(data, LIMIT)
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - expected).max() < 80 * (mode == "1") + 6


def test_reads_sixteen_bits() -> None:
    """A grey picture of 16 bits keeps its upper eight."""
    values = np.linspace(0, 65_535, 256).astype(np.uint16)
    done, data = cv2.imencode(".png", np.tile(values, (4, 1)))
    assert done
    pixels, _ = decode.decode_picture(bytes(data), LIMIT)
    assert np.array_equal(pixels[0, :, 0], (values >> 8).astype(np.uint8))


def test_reads_the_cmyk_of_printers() -> None:
    """A JPEG in CMYK comes out in the colours it was made of."""
    data = encode(gradient().convert("CMYK"), "JPEG", quality=95)
    pixels, _ = decode.decode_picture(data, LIMIT)
    assert np.abs(pixels[4, 4].astype(int) - [255, 255, 128]).max() < 12


def test_transparent_pixels_are_grey() -> None:
    """Nothing shows through where nothing is, whatever colour hides there."""
    data = encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG")
    assert (decode.decode_picture(data, LIMIT)[0] == 114).all()


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_pictures_upright(orientation: int, name: str) -> None:
    """Whatever way the camera was held, the picture comes out as it was seen."""
    upright = np.asarray(gradient())
    # What the sensor stores is the upright picture turned the other way.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(stored)), name, exif=exif)
    pixels, size = decode.decode_picture(data, LIMIT)
    assert np.array_equal(pixels, upright)
    assert size == (64, 48)


def jpeg_with_exif(exif: bytes) -> bytes:
    return encode(gradient(), "JPEG", exif=exif)


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="offset beyond the end"),
        pytest.param(b"Exif\0\0garbage", id="garbage"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", id="too many entries"),
    ],
)
def test_broken_metadata_do_not_matter(exif: bytes) -> None:
    """A picture with unreadable EXIF data is a picture all the same."""
    assert decode.decode_picture(jpeg_with_exif(exif), LIMIT)[0].shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "not_a_picture", id="empty"),
        pytest.param(b"hello, world\n" * 20, "not_a_picture", id="text"),
        pytest.param(b"%PDF-1.7 " + bytes(500), "not_a_picture", id="PDF"),
        pytest.param(b"GIF89a" + bytes(500), "not_a_picture", id="another format"),
        pytest.param(bytes(100_000), "not_a_picture", id="zeros"),
        pytest.param(b"\xff\xd8", "truncated", id="JPEG of two bytes"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "truncated", id="PNG without a header"),
        pytest.param(encode(gradient(), "PNG")[:40], "truncated", id="PNG cut in its data"),
        pytest.param(encode(gradient(), "JPEG")[:-40], "truncated", id="JPEG cut in its data"),
        pytest.param(encode(gradient(), "JPEG")[:200], "truncated", id="JPEG cut in its tables"),
        pytest.param(encode(gradient(), "BMP")[:-40], "truncated", id="BMP cut"),
        pytest.param(png_of(60_000, 60_000), "too_large", id="60,000 by 60,000"),
        pytest.param(png_of(2**31 - 1, 2**31 - 1), "too_large", id="as large as PNG can be"),
        pytest.param(png_of(500, 500), "truncated", id="less data than pixels"),
        pytest.param(damaged_png(), "unreadable", id="PNG with damaged data"),
        pytest.param(png_of(0, 10), "not_a_picture", id="PNG without pixels"),
        pytest.param(bmp_of(0, 10), "not_a_picture", id="BMP without pixels"),
    ],
)
def test_refuses_with_a_code(data: bytes, code: str) -> None:
    """What cannot be decoded is refused with a code and one sentence."""
    with pytest.raises(PictureError) as caught:
        decode.decode_picture(data, LIMIT)
    assert caught.value.code == code
    assert caught.value.reason
    assert "\n" not in caught.value.reason


def test_an_enormous_header_costs_no_memory(tmp_path: Path) -> None:
    """A picture of 60,000 by 60,000 pixels is refused before a pixel is decoded."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(60_000, 60_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="60000 x 60000 pixels, more than the 50000000"):
        decode.read_picture(str(path), LIMIT)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"{grown} KiB more"


def test_refuses_a_file_that_is_too_long(tmp_path: Path) -> None:
    """A file longer than any picture of the allowed size is not even read."""
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(10 * LIMIT)
    with pytest.raises(PictureError, match="bytes, more than the") as caught:
        decode.read_picture(str(path), LIMIT)
    assert caught.value.code == "too_large"


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    """Neither a directory nor a pipe that nobody writes to is waited for."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(PictureError) as caught:
            decode.read_picture(str(path), LIMIT)
        assert caught.value.code == "not_a_file"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/no/such/picture.png", "missing", id="missing"),
        pytest.param("/proc/self/mem", "unreadable", id="unreadable"),
        pytest.param("/" + "a" * 300, "unreadable", id="name too long"),
        pytest.param("/etc/hostname/x.png", "unreadable", id="below a file"),
    ],
)
def test_refuses_paths(path: str, code: str) -> None:
    """A path that leads nowhere is told from one that cannot be read."""
    with pytest.raises(PictureError) as caught:
        decode.read_picture(path, LIMIT)
    assert caught.value.code == code


def test_refuses_another_file_than_the_one_announced(tmp_path: Path) -> None:
    """A file written again since its announcement is left to the next one; float times do."""
    path = tmp_path / "a.png"
    path.write_bytes(encode(gradient(), "PNG"))
    status = path.stat()
    for modified in (status.st_mtime, status.st_mtime_ns / 10**9, None):
        announced = decode.Expected(status.st_size, modified)
        assert decode.read_picture(str(path), LIMIT, expected=announced).size == status.st_size
    os.utime(path, ns=(0, status.st_mtime_ns + 1_000_000))
    for expected in (decode.Expected(status.st_size, status.st_mtime), decode.Expected(7)):
        with pytest.raises(PictureError) as caught:
            decode.read_picture(str(path), LIMIT, expected=expected)
        assert caught.value.code == "changed"


CODES = {"not_a_picture", "truncated", "too_large", "unreadable"}
WHOLE = {name: encode(gradient(), name) for name in decode.FORMATS}


def check_outcome(data: bytes) -> None:
    """Decode, and accept pixels or a rejection with a known code."""
    code = None
    try:
        pixels, _ = decode.decode_picture(data, 1_000_000)
    except PictureError as error:
        code = error.code
    if code is None:
        assert (pixels.ndim, pixels.shape[2], pixels.dtype) == (3, 3, np.uint8)
    else:
        assert code in CODES


@settings(max_examples=300)
@given(st.sampled_from(decode.FORMATS), st.data())
def test_any_damage_gives_pixels_or_a_rejection(name: str, data: st.DataObject) -> None:
    """Cut off anywhere, with any bytes changed, a file is decoded or refused, nothing else."""
    whole = bytearray(WHOLE[name][: data.draw(st.integers(0, len(WHOLE[name])))])
    for _ in range(data.draw(st.integers(0, 8))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    check_outcome(bytes(whole))


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from([b"", *decode._SIGNATURES]))
def test_any_bytes_give_a_rejection(content: bytes, start: bytes) -> None:
    """Garbage is refused, also with the first bytes of a picture."""
    check_outcome(start + content)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(orientation: int) -> None:
    """The pixels are fewer, the picture's size is the true one, and they show the same."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(gradient(1600, 1200), "JPEG", exif=exif, quality=95)
    whole, size = decode.decode_picture(data, LIMIT)
    smaller, same = decode.decode_picture(data, LIMIT, lambda *_: (300, 200))
    assert size == same == (whole.shape[1], whole.shape[0])
    assert smaller.shape[0] * 4 == whole.shape[0]
    assert smaller.shape[1] * 4 == whole.shape[1]
    expected = cv2.resize(whole, smaller.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(smaller.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "JPEG"])
def test_what_is_not_much_larger_keeps_its_pixels(name: str) -> None:
    """Other formats, and JPEGs below twice the size that is enough, are decoded whole."""
    pixels, size = decode.decode_picture(encode(gradient(), name), LIMIT, lambda *_: (40, 30))
    assert pixels.shape == (48, 64, 3)
    assert size == (64, 48)
