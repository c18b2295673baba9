"""Inference of many images with an endpoint: bounded concurrency, retries, results in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gtseg.aws.hosting import COMING, Hosting, Resource
from gtseg.aws.waiting import poll
from gtseg.core.hosting.endpoint_images import (
    Request,
    crop_request,
    fit_request,
    needs_fitting,
    open_image,
    read_answer,
    to_rgb,
)
from gtseg.core.hosting.tiles import join_masks, join_probabilities, plan_tiles
from gtseg.core.scores.metrics import Mask
from gtseg.errors import AWSError, GtsegError, StageError, reason_given
from gtseg.pipeline.run import Context, EndpointSection
from gtseg.settings.hosting import Predict

T = TypeVar("T")
R = TypeVar("R")
COMING_SECONDS = 45 * 60.0
"""Longer than AWS's own limit for starting an endpoint's instances."""
OF_ONE_IMAGE = frozenset({"ModelError", "RequestTimeout", "NoSuchKey", "404"})
MAX_FAILURES = 8
"""Number of failed images in a row, with none answered before, after which the endpoint is considered unusable."""
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Answer:
    """Mask (H, W) of class indices, probabilities (C, H, W) if requested, and request time in seconds."""

    mask: Mask
    probabilities: NDArray[np.float32] | None
    seconds: float


class EndpointPredictor:
    """Endpoint and the options of its requests."""

    def __init__(
        self, hosting: Hosting, endpoint: EndpointSection, options: Predict, *, probabilities: bool = False
    ) -> None:
        self.hosting, self.endpoint, self.options = hosting, endpoint, options
        self.accept = PROTOBUF if probabilities else endpoint.accept

    def predict(self, body: bytes) -> Answer:
        """Predict the mask of one image.

        Raises ImageError, MaskError or AWSError; a ModelError concerns this image, other AWS errors the endpoint.
        """
        begun = time.monotonic()
        image = open_image(body)
        options = self.options
        if options.large_images == "tile" and needs_fitting(image, body, max_side=options.max_side):
            mask, values = self._predict_tiles(body)
        else:
            kind = self.endpoint.content_type
            request = fit_request(body, max_side=options.max_side, content_type=kind, quality=options.jpeg_quality)
            mask, values = self._send(request)
        return Answer(mask, values, time.monotonic() - begun)

    def _predict_tiles(self, body: bytes) -> tuple[Mask, NDArray[np.float32] | None]:
        image, options = to_rgb(open_image(body)), self.options
        height, width = image.height, image.width
        parts = []
        for tile in plan_tiles(height, width, size=options.tile_size, overlap=options.tile_overlap):
            kind = self.endpoint.content_type
            request = crop_request(image, tile.box, content_type=kind, quality=options.jpeg_quality)
            parts.append((tile, *self._send(request)))
        if parts[0][2] is None:
            return join_masks(((tile, mask) for tile, mask, _ in parts), height, width), None
        values = join_probabilities(((tile, v) for tile, _, v in parts if v is not None), height, width)
        return values.argmax(0).astype(np.uint8), values

    def _send(self, request: Request) -> tuple[Mask, NDArray[np.float32] | None]:
        answer = self.hosting.invoke(
            self.endpoint.name,
            request.body,
            content_type=self.endpoint.content_type,
            accept=self.accept,
            seconds=self.options.retry_for,
        )
        return read_answer(answer, request, accept=self.accept)


def await_endpoint(section: EndpointSection, context: Context) -> None:
    """Wait for an endpoint that is being created.

    Raises StageError, naming the command, if it does not exist, has failed, or serves another config.
    """

    def read_state() -> Resource | None:
        there = context.hosting.look("endpoint", section.name)
        if there is not None and there.status in COMING:
            context.progress(f"endpoint {section.name} is {there.status}: waiting")
        return there

    try:
        there = poll(
            read_state,
            until=lambda found: found is None or found.status not in COMING,
            patience=COMING_SECONDS,
            resume=f"Endpoint {section.name} is still being created; run the same command again later.",
            sleep=context.sleep,
        )
    except AWSError as error:
        if error.exit_code != 4:
            raise
        context.warn(f"endpoint {section.name} cannot be inspected ({error.code}): sending requests anyway")
        return
    if there is None or there.status == "Deleting":
        raise StageError(
            f"Endpoint {section.name} no longer exists: it was deleted outside gtseg. Create it again: `gtseg deploy`."
        )
    if there.status in ("Failed", "OutOfService"):
        raise StageError(
            f"Endpoint {section.name} is {there.status}: {reason_given(there.reason)}. Create it again: `gtseg deploy`."
        )
    if section.config and there.parts and there.parts[0] != section.config:
        raise StageError(
            f"Endpoint {section.name} now serves {there.parts[0]} instead of {section.config}: changed outside gtseg. "
            "Create the run's own: `gtseg deploy`."
        )


def is_of_one_image(error: GtsegError) -> bool:
    """Return whether an error concerns this image only; other errors would fail all images."""
    return not isinstance(error, AWSError) or error.code in OF_ONE_IMAGE


def in_order(items: Iterable[T], work: Callable[[T], R], *, concurrency: int) -> Iterator[tuple[T, R | GtsegError]]:
    """Yield (item, result or its own error) in order; at most twice `concurrency` items are in progress.

    Raises errors that do not concern a single image, and the last error if the first MAX_FAILURES images fail.
    """
    answered, failed = 0, 0

    def judge(outcome: R | GtsegError) -> R | GtsegError:
        nonlocal answered, failed
        is_failure = isinstance(outcome, AWSError)
        answered, failed = answered + (not is_failure), failed + is_failure
        if isinstance(outcome, AWSError) and not answered and failed >= MAX_FAILURES:
            raise outcome
        return outcome

    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= 2 * concurrency:
                    oldest = waiting.popleft()
                    yield oldest[0], judge(_outcome(oldest[1]))
            while waiting:
                oldest = waiting.popleft()
                yield oldest[0], judge(_outcome(oldest[1]))
        finally:
            for _, future in waiting:
                future.cancel()


def _outcome(future: Future[Any]) -> Any:
    """Return the result, or the error if it concerns this image only."""
    try:
        return future.result()
    except GtsegError as error:
        if not is_of_one_image(error):
            raise
        return error
