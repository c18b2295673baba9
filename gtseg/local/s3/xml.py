"""S3's XML: rendered by string formatting for speed, parsed by the standard library without entities."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from xml.etree import ElementTree
from xml.parsers import expat

from gtseg.local.errors import ServiceError

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
SPECIAL = re.compile('[&<>"\x00-\x1f\x7f]')
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """Escape text for an element. Control characters become character references, as on S3."""
    if not SPECIAL.search(text):
        return text
    return SPECIAL.sub(lambda found: ENTITIES.get(found[0]) or f"&#{ord(found[0])};", text)


def element(name: str, text: object) -> str:
    return f"<{name}>{escape(str(text))}</{name}>"


def wrap(root: str, *parts: str) -> bytes:
    """Return a complete document with S3's namespace."""
    return f'{PROLOG}<{root} xmlns="{NAMESPACE}">{"".join(parts)}</{root}>'.encode("utf-8", "replace")


@lru_cache(maxsize=4096)
def _format_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def format_time(milliseconds: int) -> str:
    """Return a time as in listings: whole seconds, like the Last-Modified header."""
    return _format_second(milliseconds // 1000)


@lru_cache(maxsize=4096)
def _format_http_second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%a, %d %b %Y %H:%M:%S} GMT"


def format_http_time(milliseconds: int) -> str:
    """Return a time as in the Last-Modified header."""
    return _format_http_second(milliseconds // 1000)


def render_error(error: ServiceError, *, resource: str, request_id: str) -> bytes:
    extra = "".join(element(name, value) for name, value in error.fields.items() if name.isidentifier())
    return (
        f"{PROLOG}<Error>{element('Code', error.code)}{element('Message', error.message)}{extra}"
        f"{element('Resource', resource)}{element('RequestId', request_id)}</Error>"
    ).encode("utf-8", "replace")


def parse(document: bytes, root: str, *known: str) -> ElementTree.Element:
    """Parse a document; return its root element without namespaces. `known`: the elements allowed below it.

    Raises ServiceError MalformedXML, or NotImplemented for an element that would be ignored.
    """
    try:
        _refuse_doctype(document)
        tree = ElementTree.fromstring(document)
    except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError):
        raise malformed() from None
    for node in tree.iter():
        node.tag = node.tag.rpartition("}")[2]
    if tree.tag != root:
        raise malformed()
    for node in tree.iter():
        if node is not tree and node.tag not in known:
            raise ServiceError(
                "NotImplemented", f"The element {node.tag} of {root} is not implemented by this server.", 501
            )
    return tree


def _refuse_doctype(document: bytes) -> None:
    """Raise ServiceError MalformedXML for a document type declaration in any encoding.

    Without one there are no entities.
    """

    def refuse(*_: object) -> None:
        raise malformed()

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(document, True)


def malformed() -> ServiceError:
    """Return S3's error for an invalid document."""
    return ServiceError(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
