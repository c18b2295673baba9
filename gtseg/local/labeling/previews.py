"""RenderUiTemplate: renders a template with a given task, as shown to workers."""

from __future__ import annotations

import json
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.labeling.links import owner_links
from gtseg.local.labeling.rendering import shared_renderer


def register_previews(service: JsonService, embedded: Embedded) -> None:
    """Register RenderUiTemplate."""

    @service.operation("RenderUiTemplate")
    def render_template(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("HumanTaskUiArn"):
            raise ServiceError("ResourceNotFound", f"The human task UI {request['HumanTaskUiArn']} does not exist.")
        if "UiTemplate" not in request:
            raise ServiceError("ValidationException", "One of UiTemplate and HumanTaskUiArn is required.")
        task_input = read_input(request["Task"]["Input"])
        try:
            links = owner_links(embedded.store, embedded.url)
            content = shared_renderer().render(request["UiTemplate"]["Content"], task_input, links)
        except ServiceError as error:
            return {"RenderedContent": "", "Errors": [{"Code": "TemplateError", "Message": error.message}]}
        return {"RenderedContent": content, "Errors": []}


def read_input(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ServiceError("ValidationException", "Task.Input must be a JSON document.") from None
