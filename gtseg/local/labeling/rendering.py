"""Rendering of worker task templates in child processes with limits on time and memory.

Liquid does not limit a template's intermediate results: `(1..2e7) | join`, repeated `replace`, a sort. A template that
exceeded the limits is rejected for FORGET_SECONDS, so that it does not occupy a process again soon.
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
from gtseg.local.labeling.child_process import ChildProcess, ChildProcessDied
from gtseg.local.labeling.links import Links

MODULE = "gtseg.local.labeling.template_process"
CHILDREN = 2
SECONDS = 5.0
"""Time limit for one page."""
START_SECONDS = 60.0
"""Time limit for the start of a process."""
WAIT_SECONDS = 30.0
FORGET_SECONDS = 60.0
REMEMBERED = 1000


class Renderer:
    """A pool of child processes; callers wait for a free one."""

    def __init__(
        self,
        *,
        children: int = CHILDREN,
        seconds: float = SECONDS,
        read_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.read_clock = seconds, read_clock
        self.free: queue.LifoQueue[ChildProcess] = queue.LifoQueue()
        for _ in range(children):
            self.free.put(ChildProcess(MODULE))
        self.excessive: OrderedDict[bytes, float] = OrderedDict()
        self.lock = threading.Lock()

    def render(self, template: str, task_input: Any, links: Links) -> str:
        """Return the rendered page.

        Raises ServiceError ValidationException for a template that cannot be rendered within the limits.
        """
        request = {"template": template, "input": task_input, "links": dataclasses.asdict(links)}
        return str(self._request("render", request, template))

    def check(self, template: str) -> str:
        """Return what is not valid about a template; '' if nothing."""
        try:
            return str(self._request("check", {"template": template}, template))
        except ServiceError as error:
            return error.message

    def _request(self, do: str, request: dict[str, Any], template: str) -> Any:
        key = hashlib.sha256(template.encode("utf-8", "surrogatepass")).digest()
        self._refuse_excessive(key)
        try:
            child = self.free.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise ServiceError(
                "SlowDown", "Too many templates are being rendered. Try again in a few seconds.", 503
            ) from None
        try:
            return self._request_child(child, {"do": do, **request}, key)
        finally:
            self.free.put(child)

    def _request_child(self, child: ChildProcess, request: dict[str, Any], key: bytes) -> Any:
        """Send the request; if the process died without a timeout, send it once more to a new process."""
        for attempt in (1, 2):
            try:
                if child.pid is None:  # exclude the start of the process from the template's time
                    child.request({"do": "check", "template": ""}, seconds=START_SECONDS)
                return child.request(request, seconds=self.seconds)
            except ChildProcessDied as error:
                if attempt == 2 or error.timed_out:
                    with self.lock:
                        self.excessive[key] = self.read_clock() + FORGET_SECONDS
                        while len(self.excessive) > REMEMBERED:
                            self.excessive.popitem(last=False)
        self._refuse_excessive(key)
        raise AssertionError("unreachable: an excessive template was rejected")

    def _refuse_excessive(self, key: bytes) -> None:
        with self.lock:
            if self.excessive.get(key, 0) <= self.read_clock():
                self.excessive.pop(key, None)
                return
        raise ServiceError(
            "ValidationException",
            f"The template cannot be rendered: it takes more than {self.seconds:.0f} seconds or too much memory.",
        )

    def close(self) -> None:
        """Kill the processes; none may be in use."""
        while not self.free.empty():
            self.free.get().close()


@lru_cache(maxsize=1)
def shared_renderer() -> Renderer:
    """Return the renderer shared by the server's threads."""
    return Renderer()
