"""An endpoint asked for the masks of many images: bounded concurrency, retries, answers in order."""

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
"""AWS gives up on an endpoint's machines well before."""
OF_ONE_IMAGE = frozenset({"ModelError", "RequestTimeout", "NoSuchKey", "404"})
HOPELESS = 8
"""So many images in a row that the endpoint cannot answer, before the first that it can: it cannot answer any."""
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Answer:
    """(H, W) class indices of the image's own size; (C, H, W) probabilities where asked for; seconds until it was there."""

    mask: Mask
    probabilities: NDArray[np.float32] | None
    seconds: float


class Asker:
    """One endpoint and how it is asked."""

    def __init__(
        self, hosting: Hosting, endpoint: EndpointSection, options: Predict, *, probabilities: bool = False
    ) -> None:
        self.hosting, self.endpoint, self.options = hosting, endpoint, options
        self.accept = PROTOBUF if probabilities else endpoint.accept

    def ask(self, body: bytes) -> Answer:
        """The mask of one image. Raises ImageError, MaskError or AWSError: ModelError is the image's, others the endpoint's."""
        begun = time.monotonic()
        image = open_image(body)
        options = self.options
        if options.large_images == "tile" and needs_fitting(image, body, max_side=options.max_side):
            mask, values = self._ask_tiles(body)
        else:
            kind = self.endpoint.content_type
            request = fit_request(body, max_side=options.max_side, content_type=kind, quality=options.jpeg_quality)
            mask, values = self._send(request)
        return Answer(mask, values, time.monotonic() - begun)

    def _ask_tiles(self, body: bytes) -> tuple[Mask, NDArray[np.float32] | None]:
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
    """Wait for an endpoint that is coming up. Raises StageError, naming the command, where it is gone, failed or another one."""

    def look() -> Resource | None:
        there = context.hosting.look("endpoint", section.name)
        if there is not None and there.status in COMING:
            context.progress(f"endpoint {section.name} is {there.status}: waiting")
        return there

    try:
        there = poll(
            look,
            until=lambda found: found is None or found.status not in COMING,
            patience=COMING_SECONDS,
            resume=f"Endpoint {section.name} comes up by itself; run the same command again.",
            sleep=context.sleep,
        )
    except AWSError as error:
        if error.exit_code != 4:
            raise
        context.warn(f"endpoint {section.name} may not be looked at ({error.code}): it is asked all the same")
        return
    if there is None or there.status == "Deleting":
        raise StageError(
            f"Endpoint {section.name} is not there any more: deleted elsewhere. Make it again: `gtseg deploy`."
        )
    if there.status in ("Failed", "OutOfService"):
        raise StageError(
            f"Endpoint {section.name} is {there.status}: {reason_given(there.reason)}. Make it again: `gtseg deploy`."
        )
    if section.config and there.parts and there.parts[0] != section.config:
        raise StageError(
            f"Endpoint {section.name} serves {there.parts[0]} now, not {section.config}: changed elsewhere. Make the run's own: "
            "`gtseg deploy`."
        )


def is_of_one_image(error: GtsegError) -> bool:
    """Whether only this image failed; what else goes wrong would go wrong for all."""
    return not isinstance(error, AWSError) or error.code in OF_ONE_IMAGE


def in_order(items: Iterable[T], work: Callable[[T], R], *, concurrency: int) -> Iterator[tuple[T, R | GtsegError]]:
    """(item, result or its own error), in the items' order; at most twice `concurrency` items are on their way.

    An error that is not of one image ends it, and so does an endpoint that answers none of the first HOPELESS images.
    """
    answered, failed = 0, 0

    def judge(outcome: R | GtsegError) -> R | GtsegError:
        nonlocal answered, failed
        is_failure = isinstance(outcome, AWSError)
        answered, failed = answered + (not is_failure), failed + is_failure
        if isinstance(outcome, AWSError) and not answered and failed >= HOPELESS:
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
    """The result, or the error where it is of this image alone."""
    try:
        return future.result()
    except GtsegError as error:
        if not is_of_one_image(error):
            raise
        return error
