"""Worker task templates: Liquid with Ground Truth's filters, output escaped unless a template says otherwise.

Source: developer guide, "Creating your custom labeling workflow", step 2: `to_json`, `grant_read_access`,
`skip_autoescape`; `task.input` is what the pre-annotation function returns as `taskInput`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from liquid import Environment
from liquid.exceptions import LiquidError
from markupsafe import Markup

from gtseg.local.errors import ServiceError

__all__ = ["check_template", "render"]


def check_template(text: str) -> str:
    """What is wrong with a template; '' for nothing."""
    try:
        environment().from_string(text)
    except (LiquidError, RecursionError) as error:
        return str(error)
    return ""


def render(text: str, task_input: Any, *, grant: Callable[[str], str]) -> str:
    """The template with `task.input`; `grant` turns an S3 URI into a link. Raises ServiceError ValidationException."""
    try:
        given = _grants.set(grant)  # out of the template's reach: it could print it, with the keys that it signs with
        try:
            return environment().from_string(text).render(task={"input": task_input})
        finally:
            _grants.reset(given)
    except (LiquidError, ServiceError, RecursionError, ValueError, TypeError) as error:
        raise ServiceError("ValidationException", f"The template can't be rendered: {error}") from None


class Bounded(Environment):
    """A template ends: its loops, its output and its variables are bounded. It includes no files."""

    loop_iteration_limit = 100_000
    output_stream_limit = 16 << 20
    local_namespace_limit = 16 << 20


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = Bounded(autoescape=True)
    made.filters["to_json"] = to_json
    made.filters["skip_autoescape"] = skip_autoescape
    made.filters["grant_read_access"] = grant_read_access
    return made


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def skip_autoescape(value: object) -> Markup:
    return Markup(str(value))


def grant_read_access(value: object) -> str:
    """An S3 URI as a link that works for a while; anything else as it is."""
    text = str(value)
    return _grants.get()(text) if text.startswith("s3://") else text


_grants: ContextVar[Callable[[str], str]] = ContextVar("grants")
