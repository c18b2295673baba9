"""Templates rendered within limits of time and memory, in processes of their own.

What a template makes in between has no limit of its own in Liquid: `(1..2e7) | join`, `replace` upon `replace`, a sort. A
template that has gone past the limits is remembered, so that it holds nobody up again soon.
"""

from __future__ import annotations

import dataclasses
import hashlib
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.children import Child, ChildDied
from gtseg.local.labeling.links import Links

__all__ = ["Renderer", "shared_renderer"]

MODULE = "gtseg.local.labeling.template_process"
CHILDREN = 2
SECONDS = 5.0  # for one page
START_SECONDS = 60.0  # for a process to start
WAIT_SECONDS = 30.0
FORGET_SECONDS = 60.0
REMEMBERED = 1000


class Renderer:
    """A few processes; whoever asks waits for one that is free."""

    def __init__(
        self,
        *,
        children: int = CHILDREN,
        seconds: float = SECONDS,
        read_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.read_clock = seconds, read_clock
        self.free: queue.LifoQueue[Child] = queue.LifoQueue()
        for _ in range(children):
            self.free.put(Child(MODULE))
        self.excessive: OrderedDict[bytes, float] = OrderedDict()
        self.lock = threading.Lock()

    def render(self, template: str, task_input: Any, links: Links) -> str:
        """The page. Raises ServiceError ValidationException for a template that cannot be rendered within the limits."""
        question = {"template": template, "input": task_input, "links": dataclasses.asdict(links)}
        return str(self._ask("render", question, template))

    def check(self, template: str) -> str:
        """What is wrong with a template; '' for nothing."""
        try:
            return str(self._ask("check", {"template": template}, template))
        except ServiceError as error:
            return error.message

    def _ask(self, do: str, question: dict[str, Any], template: str) -> Any:
        key = hashlib.sha256(template.encode("utf-8", "surrogatepass")).digest()
        self._refuse_excessive(key)
        try:
            child = self.free.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise ServiceError("SlowDown", "Too many templates are being rendered.", 503) from None
        try:
            return self._ask_child(child, {"do": do, **question}, key)
        finally:
            self.free.put(child)

    def _ask_child(self, child: Child, question: dict[str, Any], key: bytes) -> Any:
        """A process that was killed while it did nothing is no fault of the template: it is asked once more, of a new one."""
        for attempt in (1, 2):
            try:
                if child.pid is None:  # the start of the process is not the template's time
                    child.ask({"do": "check", "template": ""}, seconds=START_SECONDS)
                return child.ask(question, seconds=self.seconds)
            except ChildDied as error:
                if attempt == 2 or error.timed_out:
                    with self.lock:
                        self.excessive[key] = self.read_clock() + FORGET_SECONDS
                        while len(self.excessive) > REMEMBERED:
                            self.excessive.popitem(last=False)
        self._refuse_excessive(key)
        raise AssertionError("a template that went past the limits is refused")

    def _refuse_excessive(self, key: bytes) -> None:
        with self.lock:
            if self.excessive.get(key, 0) <= self.read_clock():
                self.excessive.pop(key, None)
                return
        raise ServiceError(
            "ValidationException",
            f"The template can't be rendered: it takes more than {self.seconds:.0f} seconds or too much memory.",
        )

    def close(self) -> None:
        """End the processes; none may be in use."""
        while not self.free.empty():
            self.free.get().close()


@lru_cache(maxsize=1)
def shared_renderer() -> Renderer:
    return Renderer()
