"""Memory for pictures: turns at decoding (how many pixels at once, whoever asks; whoever waits first is served first), and its return."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import deque
from collections.abc import Iterator

from gtseg.local.errors import ServiceError

__all__ = ["MAX_PIXELS", "PixelTurns", "decoding", "return_large_blocks"]

MAX_PIXELS = 100_000_000  # Ground Truth's limit for one image
FORMATS = (
    "JPEG",
    "PNG",
)  # an MPO, a JPEG of some cameras with a second picture behind the first, is opened as JPEG
WAIT_SECONDS = 120.0
M_MMAP_THRESHOLD = -3  # of malloc.h


class PixelTurns:
    """`total` pixels at once; a picture with more than that has the decoder to itself."""

    def __init__(self, total: int) -> None:
        self.total, self.held = total, 0
        self.changed = threading.Condition()
        self.waiting: deque[object] = deque()

    @contextlib.contextmanager
    def hold(self, pixels: int, *, seconds: float = WAIT_SECONDS) -> Iterator[None]:
        """Raises ServiceError SlowDown 503 where the turn does not come in time."""
        pixels, ticket = min(pixels, self.total), object()
        with self.changed:
            self.waiting.append(ticket)
            came = self.changed.wait_for(
                lambda: self.waiting[0] is ticket and self.held + pixels <= self.total, seconds
            )
            self.waiting.remove(ticket)
            if came:
                self.held += pixels
            self.changed.notify_all()
        if not came:
            raise ServiceError("SlowDown", "Too many pictures are being decoded.", 503)
        try:
            yield
        finally:
            with self.changed:
                self.held -= pixels
                self.changed.notify_all()


_TURNS = PixelTurns(MAX_PIXELS)


def decoding(size: tuple[int, int]) -> contextlib.AbstractContextManager[None]:
    """Hold the decoder for a picture of (width, height) pixels."""
    return _TURNS.hold(size[0] * size[1])


def return_large_blocks() -> None:
    """Have glibc give blocks of a megabyte and more back to the system when they are freed, as pictures' are.

    Left to itself it keeps them, for each thread that has ever decoded a picture: 1.2 GiB after four answers of 81 megapixels.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
