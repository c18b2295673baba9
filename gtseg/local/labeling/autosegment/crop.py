"""The square window around an object, and features computed from it without a network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""(N, 2): x, y in pixels of the stored image."""
MARGIN = 0.22
"""Margin on each side relative to the longer side of the points' box, for points that are a few pixels off."""


@dataclass(frozen=True)
class Window:
    """A square of the stored image, left, top and side in its pixels, resampled to `size` x `size` pixels."""

    left: float
    top: float
    side: float
    size: int

    @property
    def scale(self) -> float:
        """Window pixels per image pixel."""
        return self.size / self.side

    def matrix(self) -> NDArray[np.float64]:
        """Return the (2, 3) affine matrix from image to window pixel coordinates (pixel centers at integers)."""
        s = self.scale
        return np.array([[s, 0, (0.5 - self.left) * s - 0.5], [0, s, (0.5 - self.top) * s - 0.5]])

    def inward(self, points: Points) -> Points:
        """Convert (N, 2) image points to window points."""
        m = self.matrix()
        return np.asarray(points, np.float32).reshape(-1, 2) * np.float32(m[0, 0]) + m[:, 2].astype(np.float32)


def window_of(points: Points, size: int, *, margin: float = MARGIN) -> Window:
    """Return the window centered on the box of (4, 2) extreme points, with a margin relative to its longer side."""
    low, high = points.min(0), points.max(0)
    longer = float(max(high - low)) + 1
    side = max(longer * (1 + 2 * margin), 16.0)
    center = (low + high) / 2 + 0.5
    return Window(float(center[0]) - side / 2, float(center[1]) - side / 2, side, size)


def cut(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Resample the window of an (H, W, 3) image to (size, size, 3); pixels beyond the border repeat the last ones."""
    size = window.size
    left, top = int(np.floor(window.left)) - 2, int(np.floor(window.top)) - 2
    side = int(np.ceil(window.side)) + 4
    x0, y0 = max(left, 0), max(top, 0)
    part = image[y0 : max(top + side, y0 + 1), x0 : max(left + side, x0 + 1)]
    factor = 1.0
    if window.scale < 0.6:  # average first, because a plain warp would alias
        factor = max(window.scale * 1.5, 8 / min(part.shape[:2]))
        if factor < 1:
            small = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
            part = np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA), np.uint8)
        else:
            factor = 1.0
    s = window.scale / factor
    m = np.array(
        [
            [s, 0, (0.5 + (x0 - window.left) * factor) * s - 0.5],
            [0, s, (0.5 + (y0 - window.top) * factor) * s - 0.5],
        ]
    )
    warped = cv2.warpAffine(part, m, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


CONTRAST, GAIN_LIMIT = 230.0, 3.0
"""Range to which the values between the percentiles 1 and 99 of a dull window are stretched, and the largest factor."""
MEDIAN, BRIGHTENING_LIMIT = 0.5, 0.5
"""Median to which a dark window is brightened, as a share of white, and the smallest exponent for it."""


def balance_exposure(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (S, S, 3) window with more contrast if it is dull, and brighter if it is dark.

    All channels alike; values keep their order.
    """
    values = photo.reshape(-1, 3)[::7]
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    half = (high - low) / 2
    gain = min(GAIN_LIMIT, max(1.0, CONTRAST / max(high - low, 1.0)))
    center = float(np.clip(low + half, half * gain, 255 - half * gain))
    curve = np.clip((np.arange(256) - low - half) * gain + center, 0, 255) / 255
    median = float(np.clip(np.median(curve[values]), 0.004, 0.99))
    exponent = float(np.clip(np.log(MEDIAN) / np.log(median), BRIGHTENING_LIMIT, 1.0))
    return np.asarray(cv2.LUT(photo, np.round(255 * curve**exponent).astype(np.uint8)), np.uint8)


def cut_balanced(image: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Return the window of an (H, W, 3) image as `cut` does, with the exposure that the networks were trained on."""
    return balance_exposure(cut(image, window))


def extent(window: Window, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the image pixels in the window, for an image of `shape` (H, W)."""
    height, width = shape
    x0, y0 = max(0, int(np.floor(window.left))), max(0, int(np.floor(window.top)))
    x1 = min(width, int(np.ceil(window.left + window.side)))
    y1 = min(height, int(np.ceil(window.top + window.side)))
    return x0, y0, x1, y1


def paste(
    window: Window, probability: NDArray[np.float32], shape: tuple[int, int]
) -> tuple[int, int, NDArray[np.float32]]:
    """Resample (size, size) window values to image pixels; return (left, top, (h, w) values)."""
    x0, y0, x1, y1 = extent(window, shape)
    m = window.matrix()
    m[:, 2] += m[:, :2] @ np.array([x0, y0], float)
    interpolation = cv2.INTER_CUBIC if window.scale < 1 else cv2.INTER_LINEAR
    flags = interpolation | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(
        probability, m, (max(x1 - x0, 1), max(y1 - y0, 1)), flags=flags, borderMode=cv2.BORDER_CONSTANT
    )
    return x0, y0, np.asarray(values, np.float32)


def heat(points: Points, size: int, *, sigma: float) -> NDArray[np.float32]:
    """Return a (size, size) heat map in 0 to 1 with a Gaussian at each of (N, 2) window points."""
    if len(points) == 0:
        return np.zeros((size, size), np.float32)
    axis = np.arange(size, dtype=np.float32)
    across = np.exp(-((axis[None] - points[:, :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((axis[None] - points[:, 1:]) ** 2) / (2 * sigma**2))
    return np.asarray(np.einsum("nh,nw->nhw", down, across).max(0), np.float32)


def in_order(points: Points) -> Points:
    """Sort (4, 2) extreme points into the order top, right, bottom, left."""
    center = points.mean(0)
    turn = np.arctan2(points[:, 1] - center[1], points[:, 0] - center[0])
    around = points[np.argsort(turn)]
    return np.roll(around, -int(np.argmin(around[:, 1])), axis=0)


def quad(points: Points, size: int) -> NDArray[np.uint8]:
    """Return the (size, size) 0/1 quadrilateral of four window points, nearly all of which is object."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, np.round(cv2.convexHull(points.astype(np.float32))).astype(np.int32), 1)
    return mask


def box(points: Points, size: int, *, slack: float = 0.0) -> NDArray[np.uint8]:
    """Return the (size, size) 0/1 box of four window points, enlarged by `slack` pixels."""
    mask = np.zeros((size, size), np.uint8)
    low = np.clip(np.floor(points.min(0) - slack), 0, size - 1).astype(int)
    high = np.clip(np.ceil(points.max(0) + slack), 0, size - 1).astype(int)
    mask[low[1] : high[1] + 1, low[0] : high[0] + 1] = 1
    return mask


BINS = 16


def color_bins(photo: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the (S, S) cell index of each pixel of (S, S, 3) in a 16 x 16 x 16 color cube."""
    cells = (photo >> 4).astype(np.int32)
    return (cells[..., 0] * BINS + cells[..., 1]) * BINS + cells[..., 2]


def smooth_cube(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur a color histogram over neighboring cells of the cube."""
    kernel = np.array([0.06, 0.24, 0.4, 0.24, 0.06], np.float32)
    out = cube.reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.pad(out, [(2, 2) if a == axis else (0, 0) for a in range(3)])
        shifted = [w * np.take(padded, range(i, i + BINS), axis=axis) for i, w in enumerate(kernel)]
        out = np.sum(shifted, axis=0, dtype=np.float32)
    return out.reshape(-1)


def likelihood(photo: NDArray[np.uint8], inner: NDArray[np.uint8], outer: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (S, S) values in 0 to 1: how likely each pixel's color belongs to `inner` rather than `outer` (0/1 masks).

    This lets the network segment classes not seen in training: the object's colors are measured in the image itself.
    """
    cells = color_bins(photo)
    flat = cells.reshape(-1)
    posterior = inner.astype(np.float32).reshape(-1)
    away = outer.astype(np.float32).reshape(-1)
    ratio = posterior
    for _ in range(2):
        front = smooth_cube(np.bincount(flat, weights=posterior, minlength=BINS**3).astype(np.float32))
        back = smooth_cube(np.bincount(flat, weights=away, minlength=BINS**3).astype(np.float32))
        front /= max(front.sum(), 1e-6)
        back /= max(back.sum(), 1e-6)
        ratio = ((front + 1e-5) / (front + back + 2e-5))[flat]
        posterior = inner.reshape(-1) * ratio
    return ratio.reshape(photo.shape[:2]).astype(np.float32)


def prompts(
    size: int,
    *,
    extreme: Points,
    inside: Points,
    outside: Points,
    outline: Outline,
    present: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Return the network's prompt planes for a window, (7, S, S) float32.

    The planes are extreme points, clicks inside, clicks outside, color likelihood, where the object must be, a first
    guess of the mask, and the mask that the clicks correct (0.5 if there is none yet).
    """
    sigma = size / 32
    planes = np.empty((7, size, size), np.float32)
    planes[0] = heat(extreme, size, sigma=sigma)
    planes[1] = heat(inside, size, sigma=sigma)
    planes[2] = heat(outside, size, sigma=sigma)
    planes[3] = outline.likelihood
    planes[4] = outline.place
    planes[5] = outline.guess
    planes[6] = 0.5 if present is None else present
    return planes


@dataclass(frozen=True)
class Outline:
    """Planes that do not depend on corrective clicks, each (S, S) float32 in 0 to 1."""

    likelihood: NDArray[np.float32]
    place: NDArray[np.float32]
    guess: NDArray[np.float32]
    """A first guess of the mask: the colors within the points' quadrilateral, then the mask of the first look."""
