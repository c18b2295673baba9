"""CORS rule that workers' browsers need on every bucket with images (developer guide, sms-cors-update)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LABELING_RULE: dict[str, Any] = {
    "AllowedHeaders": [],
    "AllowedMethods": ["GET"],
    "AllowedOrigins": ["*"],
    "ExposeHeaders": ["Access-Control-Allow-Origin"],
}
MAX_RULES = 100


def has_labeling_rule(rules: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a rule allows every origin to GET and to read the header that Ground Truth's page needs."""
    return any(
        "GET" in rule.get("AllowedMethods", ())
        and "*" in rule.get("AllowedOrigins", ())
        and any(h.lower() in {"access-control-allow-origin", "*"} for h in rule.get("ExposeHeaders", ()))
        for rule in rules
    )


def with_labeling_rule(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bucket's rules, unchanged, with the labeling rule added.

    S3 applies the first rule that matches. The labeling rule goes last, unless a rule for every origin would hide it.
    """
    kept = [dict(rule) for rule in rules]
    hidden = any("GET" in rule.get("AllowedMethods", ()) and "*" in rule.get("AllowedOrigins", ()) for rule in kept)
    return [LABELING_RULE, *kept] if hidden else [*kept, LABELING_RULE]
