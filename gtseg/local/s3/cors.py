"""CORS: a bucket's configuration, preflight requests, and response headers."""

from __future__ import annotations

import re
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, parse, wrap

Rule = dict[str, Any]
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
LISTS = ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
RULES_MAXIMUM = 100


def put_cors(s3: S3, request: Request) -> Answer:
    nodes = parse(request.body, "CORSConfiguration", "CORSRule", "ID", "MaxAgeSeconds", *LISTS).findall("CORSRule")
    rules = [_read_rule(node) for node in nodes]
    if not 1 <= len(rules) <= RULES_MAXIMUM:
        raise _malformed()
    s3.objects.index.write_setting(request.bucket, "cors", rules)
    return Answer()


def get_cors(s3: S3, request: Request) -> Answer:
    code, message = "NoSuchCORSConfiguration", "The CORS configuration does not exist"
    rules = s3.read_setting(request.bucket, "cors", code=code, message=message)
    return Answer(body=wrap("CORSConfiguration", *(_render_rule(rule) for rule in rules)))


def delete_cors(s3: S3, request: Request) -> Answer:
    s3.objects.index.write_setting(request.bucket, "cors", None)
    return Answer(204)


def answer_preflight(s3: S3, request: Request) -> Answer:
    """Respond to a preflight (OPTIONS), sent by browsers without credentials. Raises ServiceError AccessForbidden."""
    origin = request.headers.get("origin", "")
    method = request.headers.get("access-control-request-method", "")
    if not origin or not method:
        raise ServiceError("BadRequest", "Insufficient information. Origin request header needed.")
    asked = [
        name.strip().lower()
        for name in request.headers.get("access-control-request-headers", "").split(",")
        if name.strip()
    ]
    rules = s3.objects.index.read_settings(request.bucket).get("cors")
    if rules is None:
        raise _forbidden("CORSResponse: CORS is not enabled for this bucket.", request, method)
    rule = _find_rule(rules, origin=origin, method=method, headers=asked)
    if rule is None:
        raise _forbidden("CORSResponse: This CORS request is not allowed.", request, method)
    answer = Answer(200, _render_headers(rule, origin))
    if asked:
        answer.headers["access-control-allow-headers"] = ", ".join(asked)
    return answer


def allow_origin(s3: S3, request: Request) -> dict[str, str]:
    """Return the CORS headers of the response to a cross-origin request; none if no rule allows it."""
    try:
        rules = s3.objects.index.read_settings(request.bucket).get("cors") or []
    except ServiceError:
        return {}
    origin = request.headers["origin"]
    rule = _find_rule(rules, origin=origin, method=request.method, headers=[])
    return {} if rule is None else _render_headers(rule, origin)


def _render_headers(rule: Rule, origin: str) -> dict[str, str]:
    wildcard = rule["AllowedOrigin"] == ["*"]
    headers = {
        "access-control-allow-origin": "*" if wildcard else origin,
        "access-control-allow-methods": ", ".join(rule["AllowedMethod"]),
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
    }
    if not wildcard:
        headers["access-control-allow-credentials"] = "true"
    if rule["ExposeHeader"]:
        headers["access-control-expose-headers"] = ", ".join(rule["ExposeHeader"])
    if rule.get("MaxAgeSeconds"):
        headers["access-control-max-age"] = str(rule["MaxAgeSeconds"])
    return headers


def _find_rule(rules: list[Rule], *, origin: str, method: str, headers: list[str]) -> Rule | None:
    for rule in rules:
        allowed = [pattern.lower() for pattern in rule["AllowedHeader"]]
        if (
            method in rule["AllowedMethod"]
            and any(_matches(pattern, origin) for pattern in rule["AllowedOrigin"])
            and all(any(_matches(pattern, name) for pattern in allowed) for name in headers)
        ):
            return rule
    return None


def _matches(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    return re.fullmatch(re.escape(before) + (".*" if star else "") + re.escape(after), text) is not None


def _read_rule(node: Any) -> Rule:
    rule: Rule = {name: [child.text or "" for child in node.findall(name)] for name in LISTS}
    if not rule["AllowedOrigin"] or not rule["AllowedMethod"]:
        raise _malformed()
    for method in rule["AllowedMethod"]:
        if method not in METHODS:
            raise ServiceError(
                "InvalidRequest",
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}",
            )
    for name in ("AllowedOrigin", "AllowedHeader"):
        for value in rule[name]:
            if value.count("*") > 1:
                raise ServiceError("InvalidRequest", f'{name} "{value}" can not have more than one wildcard.')
    if (age := node.findtext("MaxAgeSeconds")) is not None:
        if not age.isdecimal():
            raise _malformed()
        rule["MaxAgeSeconds"] = int(age)
    if (identity := node.findtext("ID")) is not None:
        rule["ID"] = identity
    return rule


def _render_rule(rule: Rule) -> str:
    parts = [element("ID", rule["ID"])] if "ID" in rule else []
    parts += [element(name, value) for name in LISTS for value in rule[name]]
    if "MaxAgeSeconds" in rule:
        parts.append(element("MaxAgeSeconds", rule["MaxAgeSeconds"]))
    return f"<CORSRule>{''.join(parts)}</CORSRule>"


def _malformed() -> ServiceError:
    return ServiceError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def _forbidden(message: str, request: Request, method: str) -> ServiceError:
    kind = "OBJECT" if request.key else "BUCKET"
    return ServiceError("AccessForbidden", message, 403, fields={"Method": method, "ResourceType": kind})
