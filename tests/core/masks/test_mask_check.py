"""Check of every pixel of a mask, first by color."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gtseg.core.labeling.output_manifest import Labeled, read_manifest
from gtseg.core.masks import ColorMap, MapEntry, check_mask, encode_palette_png, merge_classes
from gtseg.errors import MaskError

DATA = Path(__file__).parents[2] / "data"
WHITE, GREEN, BLUE = 0xFFFFFF, 0x2CA02C, 0x1F77B4
PETS = ColorMap((MapEntry(0, "BACKGROUND", WHITE), MapEntry(1, "cat", GREEN), MapEntry(2, "dog", BLUE)))
PLAIN = ColorMap((MapEntry(0, "BACKGROUND", None), MapEntry(1, "cat", None), MapEntry(2, "dog", None)))
CLASSES = merge_classes([PETS])
SMALL = np.array([[0, 1, 2], [2, 2, 0]], dtype=np.uint8)
masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 2))


def save(image: Image.Image, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, "PNG", **options)
    return target.getvalue()


def paletted(indices: np.ndarray, colors: list[int], **options: object) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette(b"".join(c.to_bytes(3, "big") for c in colors).ljust(768, b"\xff"))
    return save(image, **options)


def painted(indices: np.ndarray, mode: str = "RGB") -> bytes:
    table = np.array([[c >> 16, c >> 8 & 255, c & 255] for c in CLASSES.colors], dtype=np.uint8)
    return save(Image.fromarray(table[indices]).convert(mode))


def size_of(indices: np.ndarray) -> tuple[int, int]:
    return indices.shape[1], indices.shape[0]


def decode(body: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(body)))


def refusal(body: bytes, colors: ColorMap = PETS, size: tuple[int, int] = (3, 2)) -> str:
    with pytest.raises(MaskError) as caught:
        check_mask(body, colors, merge_classes([colors]), size=size)
    return str(caught.value)


@given(masks)
@settings(max_examples=60, deadline=None)
def test_masks_of_ground_truth_are_unchanged(indices: np.ndarray) -> None:
    checked = check_mask(paletted(indices, list(CLASSES.colors)), PETS, CLASSES, size=size_of(indices))
    assert checked.annotation is None
    assert not checked.repaired
    assert dict(checked.pixels) == {
        int(v): int(n) for v, n in zip(*np.unique(indices, return_counts=True), strict=True)
    }


@given(masks, st.sampled_from(["RGB", "RGBA"]))
@settings(max_examples=60, deadline=None)
def test_an_rgb_mask_becomes_the_same_indices(indices: np.ndarray, mode: str) -> None:
    checked = check_mask(painted(indices, mode), PETS, CLASSES, size=size_of(indices))
    assert checked.annotation is not None
    assert (decode(checked.annotation) == indices).all()
    assert sum(n for _, n in checked.pixels) == indices.size


@given(masks, st.permutations(range(3)))
@settings(max_examples=60, deadline=None)
def test_right_colors_repair_wrong_indices(indices: np.ndarray, order: list[int]) -> None:
    """The fault of Ground Truth from June to September 2020: right colors, permuted indices."""
    wrong = np.array(order, dtype=np.uint8)[indices]
    palette = [0] * 3
    for index, moved in enumerate(order):
        palette[moved] = CLASSES.colors[index]
    checked = check_mask(paletted(wrong, palette), PETS, CLASSES, size=size_of(indices))
    result = wrong if checked.annotation is None else decode(checked.annotation)
    assert (result == indices).all()
    assert checked.repaired == bool((wrong != indices).any())


@given(masks, st.booleans())
@settings(max_examples=40, deadline=None)
def test_filtered_and_packed_palette_masks_decode_to_the_same_indices(indices: np.ndarray, optimize: bool) -> None:
    packed = save(Image.open(io.BytesIO(paletted(indices, list(CLASSES.colors)))), bits=4, optimize=optimize)
    checked = check_mask(packed, PETS, CLASSES, size=size_of(indices))
    assert checked.annotation is None or (decode(checked.annotation) == indices).all()
    assert sum(n for _, n in checked.pixels) == indices.size


def test_labels_in_another_order_are_merged_by_name() -> None:
    other = ColorMap((MapEntry(0, "BACKGROUND", WHITE), MapEntry(1, "dog", GREEN), MapEntry(2, "cat", BLUE)))
    checked = check_mask(paletted(SMALL, [WHITE, GREEN, BLUE]), other, CLASSES, size=(3, 2))
    assert checked.annotation is not None
    assert decode(checked.annotation).tolist() == [[0, 2, 1], [1, 1, 0]]
    assert not checked.repaired
    assert Image.open(io.BytesIO(checked.annotation)).getpalette()[:9] == [255] * 3 + [
        0x2C,
        0xA0,
        0x2C,
        0x1F,
        0x77,
        0xB4,
    ]


def test_a_color_map_without_colors_is_read_by_index() -> None:
    grey = check_mask(save(Image.fromarray(SMALL)), PLAIN, CLASSES, size=(3, 2))
    palette = check_mask(paletted(SMALL, [0, 1, 2]), PLAIN, CLASSES, size=(3, 2))
    assert grey.annotation is palette.annotation is None
    assert grey.pixels == palette.pixels == ((0, 2), (1, 1), (2, 3))


def test_16_bit_indices_become_8_bit() -> None:
    checked = check_mask(save(Image.fromarray(SMALL.astype(np.uint16))), PLAIN, CLASSES, size=(3, 2))
    assert checked.annotation is not None
    assert decode(checked.annotation).tolist() == SMALL.tolist()
    assert "holds the value 700" in refusal(save(Image.fromarray(SMALL.astype(np.uint16) * 350)), PLAIN)


def test_an_index_without_a_label_is_refused() -> None:
    assert "3 of its 6 pixels have an index without a label: 9 (3 pixels)" in refusal(
        save(Image.fromarray(np.where(SMALL == 2, 9, SMALL).astype(np.uint8))), PLAIN
    )


def test_one_pixel_of_an_unknown_color_is_refused_and_named() -> None:
    text = refusal(
        paletted(np.where(SMALL == 1, 7, SMALL).astype(np.uint8), [WHITE, GREEN, BLUE, 0, 0, 0, 0, 0x123456])
    )
    assert "1 of its 6 pixels have a color without a label: #123456 (1 px)" in text
    assert "cat #2ca02c" in text


@given(st.integers(0, 0xFFFFFF).filter(lambda c: c not in CLASSES.colors), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_unknown_color_of_an_rgb_mask_is_refused(color: int, opaque: bool) -> None:
    pixels = np.array(Image.open(io.BytesIO(painted(SMALL, "RGBA" if opaque else "RGB"))))
    pixels[0, 0, :3] = (color >> 16, color >> 8 & 255, color & 255)
    assert f"#{color:06x}" in refusal(save(Image.fromarray(pixels)))


def test_antialiased_edges_are_distinguished_from_unknown_colors() -> None:
    smooth = Image.open(io.BytesIO(painted(np.kron(SMALL, np.ones((8, 8), dtype=np.uint8))))).resize(
        (9, 6), Image.Resampling.BILINEAR
    )
    assert "smoothing, dithering, resizing" in refusal(save(smooth), size=(9, 6))
    soft = np.array(Image.open(io.BytesIO(painted(SMALL, "RGBA"))))
    soft[0, 1, 3] = 128
    assert "anti-aliased" in refusal(save(Image.fromarray(soft)))


def test_unlabeled_pixels_may_be_transparent() -> None:
    pixels = np.array(Image.open(io.BytesIO(painted(SMALL, "RGBA"))))
    pixels[SMALL == 0] = 0
    checked = check_mask(save(Image.fromarray(pixels)), PETS, CLASSES, size=(3, 2))
    assert checked.pixels == ((0, 2), (1, 1), (2, 3))


def test_a_class_with_the_backgrounds_color_is_read_by_index_or_refused() -> None:
    white = ColorMap((MapEntry(0, "BACKGROUND", WHITE), MapEntry(1, "snow", WHITE), MapEntry(2, "dog", BLUE)))
    classes = merge_classes([white])
    checked = check_mask(paletted(SMALL, [WHITE, WHITE, BLUE]), white, classes, size=(3, 2))
    assert checked.pixels == ((0, 2), (1, 1), (2, 3))
    flat = np.full((2, 3, 3), 255, dtype=np.uint8)
    assert "are ambiguous" in refusal(save(Image.fromarray(flat)), white)


def test_a_mask_with_similar_colors_is_refused_with_the_reason() -> None:
    folder = DATA / "lookalike-cookie"
    lines = read_manifest([(folder / "template.first4.manifest").read_bytes()], "anomaly-mask-ref")
    for number, line in zip((1, 2), lines, strict=False):
        assert isinstance(line, Labeled)
        body = (folder / f"anomaly-{number}.png").read_bytes()
        text = refusal(body, line.colors, Image.open(io.BytesIO(body)).size)
        assert "pixels have a color without a label" in text
        assert "has no BACKGROUND" in text
        assert "anti-aliased" in text


def test_the_mask_of_a_real_job_is_unchanged() -> None:
    folder = DATA / "pcb-3-classes"
    (line,) = read_manifest([(folder / "output.manifest").read_bytes()], "S10-label3-ref")
    assert isinstance(line, Labeled)
    classes = merge_classes([line.colors])
    checked = check_mask((folder / "mask.png").read_bytes(), line.colors, classes, size=(1696, 959))
    assert checked.annotation is None
    assert checked.pixels == ((0, 1593284), (1, 27558), (2, 2677), (3, 2945))
    assert json.dumps(classes.names) == '["BACKGROUND", "IC", "resistor1", "resistor2"]'


@given(st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_mask_truncated_anywhere_is_refused(at: int) -> None:
    body = paletted(SMALL, list(CLASSES.colors))
    assert refusal(body[: at % len(body)])


@given(st.integers(33, 10_000), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_changed_byte_is_detected(at: int, flip: int) -> None:
    body = bytearray(paletted(SMALL, list(CLASSES.colors)))
    at = 33 + at % (len(body) - 33)
    body[at] ^= flip
    assert refusal(bytes(body))


def test_a_mask_of_another_size_is_refused_before_decoding() -> None:
    assert "is 3x2 pixels, its image 2x3 (the image rotated by its EXIF" in refusal(
        paletted(SMALL, [WHITE, GREEN, BLUE]), size=(2, 3)
    )
    header = struct.pack(">IIBBBBB", 65000, 65000, 8, 3, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    assert "65000x65000 pixels, its image 3x2" in refusal(bomb)
    assert "Ground Truth's limit" in refusal(bomb, size=(65000, 65000))


def test_data_beyond_the_size_of_the_header_is_never_inflated() -> None:
    body = encode_palette_png(SMALL, 3, 2, palette=CLASSES.palette)
    data = zlib.compress(bytes(200_000_000))
    chunk = len(data).to_bytes(4, "big") + b"IDAT" + data + zlib.crc32(b"IDAT" + data).to_bytes(4, "big")
    bomb = body[: body.index(b"IDAT") - 4] + chunk + body[body.index(b"IEND") - 4 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(MaskError):
        check_mask(bomb, PETS, CLASSES, size=(3, 2))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_grayscale_mask_with_a_map_of_colors_is_refused_with_a_remedy() -> None:
    assert "remove hex-color from the map" in refusal(save(Image.fromarray(SMALL)))


def test_a_color_mask_with_a_map_without_colors_is_refused() -> None:
    assert "has no hex-color" in refusal(painted(SMALL), PLAIN)


def test_a_jpeg_is_refused_as_a_mask() -> None:
    target = io.BytesIO()
    Image.new("RGB", (3, 2)).save(target, "JPEG")
    assert "not a PNG file" in refusal(target.getvalue())


def test_an_interlaced_mask_is_decoded() -> None:
    """Adam7 of a 1x1 image is its one pixel; Pillow decodes it."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 1)
    parts = [(b"IHDR", header), (b"PLTE", CLASSES.palette), (b"IDAT", zlib.compress(b"\0\2")), (b"IEND", b"")]
    body = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in parts
    )
    assert check_mask(body, PETS, CLASSES, size=(1, 1)).pixels == ((2, 1),)
