"""Memory limits for decoding images: a FIFO semaphore counted in pixels, and the release of freed memory."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections import deque
from collections.abc import Iterator

from gtseg.local.errors import ServiceError

MAX_PIXELS = 100_000_000
"""Ground Truth's limit for one image."""
FORMATS = ("JPEG", "PNG")
"""An MPO, a JPEG with a second image appended by some cameras, is opened as JPEG."""
WAIT_SECONDS = 120.0
M_MMAP_THRESHOLD = -3
"""Constant of malloc.h."""


class PixelSemaphore:
    """FIFO semaphore of `total` pixels; a larger image is decoded alone."""

    def __init__(self, total: int) -> None:
        self.total, self.held = total, 0
        self.changed = threading.Condition()
        self.waiting: deque[object] = deque()

    @contextlib.contextmanager
    def hold(self, pixels: int, *, seconds: float = WAIT_SECONDS) -> Iterator[None]:
        """Hold `pixels` while the context is active.

        Raises ServiceError SlowDown 503 if they are not free within `seconds`.
        """
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
            raise ServiceError("SlowDown", "Too many images are being decoded. Try again in a few seconds.", 503)
        try:
            yield
        finally:
            with self.changed:
                self.held -= pixels
                self.changed.notify_all()


_TURNS = PixelSemaphore(MAX_PIXELS)


def decoding(size: tuple[int, int]) -> contextlib.AbstractContextManager[None]:
    """Hold the semaphore while decoding an image of (width, height) pixels."""
    return _TURNS.hold(size[0] * size[1])


def return_large_blocks() -> None:
    """Make glibc return freed blocks of 1 MiB or more to the system at once.

    By default it keeps them for each thread that has decoded an image: 1.2 GiB after four answers of 81 megapixels.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # a C library other than glibc
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
