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


def check_template(text: str) -> str:
    """Return what is not valid about a template; '' if nothing."""
    try:
        environment().from_string(text)
    except (LiquidError, RecursionError) as error:
        return str(error)
    return ""


def render(text: str, task_input: Any, *, grant: Callable[[str], str]) -> str:
    """Render the template with `task.input`; `grant` converts an S3 URI to a link.

    Raises ServiceError ValidationException.
    """
    try:
        # kept out of the template's namespace: a template could print it with its signing keys
        given = _grants.set(grant)
        try:
            return environment().from_string(text).render(task={"input": task_input})
        finally:
            _grants.reset(given)
    except (LiquidError, ServiceError, RecursionError, ValueError, TypeError) as error:
        raise ServiceError("ValidationException", f"The template cannot be rendered: {error}") from None


class BoundedEnvironment(Environment):
    """A Liquid environment with limits on loops, output and variables, and without includes."""

    loop_iteration_limit = 100_000
    output_stream_limit = 16 << 20
    local_namespace_limit = 16 << 20


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = BoundedEnvironment(autoescape=True)
    made.filters["to_json"] = to_json
    made.filters["skip_autoescape"] = skip_autoescape
    made.filters["grant_read_access"] = grant_read_access
    return made


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def skip_autoescape(value: object) -> Markup:
    return Markup(str(value))


def grant_read_access(value: object) -> str:
    """Return a temporary link to an S3 URI; any other value unchanged."""
    text = str(value)
    return _grants.get()(text) if text.startswith("s3://") else text


_grants: ContextVar[Callable[[str], str]] = ContextVar("grants")
