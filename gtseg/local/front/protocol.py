"""AWS JSON 1.1 from botocore's service model: request validation, dispatch, response serialization, errors.

Validation errors have AWS's own wording ("1 validation error detected: Value 'a b' at 'labelingJobName' failed to
satisfy constraint: ..."). A value with a wrong JSON type is a SerializationException; every other violation of the
model is a ValidationException. Members that the model does not define are dropped, as on AWS.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from gtseg.local.errors import ServiceError
from gtseg.local.front.members import refuse_members

Handler = Callable[[dict[str, Any]], dict[str, Any] | None]
Answer = tuple[int, dict[str, str], bytes]

CONTENT_TYPE = "application/x-amz-json-1.1"
MAX_ERRORS = 10  # maximum number of violations in one message
logger = logging.getLogger(__name__)


ABSENT = "The embedded AWS does not implement"


class JsonService:
    """An AWS service with the JSON 1.1 protocol: handlers take and return plain dicts, checked against the model."""

    def __init__(self, service_name: str, *, absent: str = ABSENT) -> None:
        """`absent`: start of the error message for an operation without a handler, before the operation's name."""
        self.name, self.absent = service_name, absent
        self.model = load_model(service_name)
        self.prefix = str(self.model.metadata["targetPrefix"])
        self._handlers: dict[str, Handler] = {}

    @property
    def operations(self) -> list[str]:
        """The names of the operations that have a handler."""
        return sorted(self._handlers)

    def handler(self, name: str) -> Handler:
        """Return the handler of an operation. Raises KeyError if it has none."""
        return self._handlers[name]

    def operation(self, name: str) -> Callable[[Handler], Handler]:
        """Register the decorated function as handler of operation `name`, which the model must define."""
        if name not in self.model.operation_names:
            raise KeyError(f"{self.name} has no operation {name!r}")

        def keep(handler: Handler) -> Handler:
            self._handlers[name] = handler
            return handler

        return keep

    def answer(self, target: str, body: bytes) -> Answer:
        """Respond to one request; `target` is the X-Amz-Target header.

        Never raises: failures become AWS error responses.
        """
        try:
            return self._succeed(self._call(target, body))
        except ServiceError as error:
            return self._fail(error)
        except Exception as error:
            logger.exception("%s failed", target)
            return self._fail(ServiceError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def _call(self, target: str, body: bytes) -> bytes:
        prefix, _, name = target.rpartition(".")
        handler = self._handlers.get(name)
        if prefix != self.prefix or handler is None:
            raise ServiceError(
                "UnknownOperationException",
                f"{self.absent} {self.name}:{name or target}.",
            )
        operation = self.model.operation_model(name)
        request = read_request(body, operation.input_shape)
        refuse_members(name, request)
        answer = handler(request) or {}
        if operation.output_shape is None:
            return b""
        document = _write_value(answer, operation.output_shape, name)
        return json.dumps(document, separators=(",", ":")).encode()

    def _succeed(self, body: bytes) -> Answer:
        return 200, {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())}, body

    def _fail(self, error: ServiceError) -> Answer:
        """Render an error: modeled exceptions have `Message`, the framework's own `message`; clients read both."""
        key = "Message" if error.code in self.model.shape_names else "message"
        text = error.message
        body = json.dumps({"__type": error.code, key: text}).encode()
        headers = {
            "Content-Type": CONTENT_TYPE,
            "x-amzn-RequestId": str(uuid.uuid4()),
            "x-amzn-ErrorType": error.code,
        }
        return error.status, headers, body


@lru_cache
def load_model(service_name: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service_name, "service-2"), service_name)


# --- requests ---


def read_request(body: bytes, shape: Shape | None) -> dict[str, Any]:
    """Parse a request into plain values: timestamps become aware datetimes (UTC), blobs bytes.

    Unknown and null members are removed.

    Raises ServiceError: SerializationException for malformed JSON or wrong types, ValidationException for violations of
    the model.
    """
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise ServiceError("SerializationException", "Start of structure or map found where not expected.")
    if shape is None:
        return {}
    request: dict[str, Any] = _read_value(document, shape)
    violations = list(_find_violations(request, shape, ""))
    if violations:
        raise _validation_error(violations)
    return request


def _validation_error(violations: list[str]) -> ServiceError:
    """Return AWS's ValidationException for constraint violations."""
    count = len(violations)
    plural = "s" if count > 1 else ""
    listed = "; ".join(violations[:MAX_ERRORS])
    return ServiceError("ValidationException", f"{count} validation error{plural} detected: {listed}")


def _read_value(value: Any, shape: Shape) -> Any:
    """Convert a JSON value to a Python value by the shape's type."""
    reader = READERS.get(shape.type_name)
    if reader is None:  # pragma: no cover - a type of a later botocore
        raise ServiceError("SerializationException", f"{shape.type_name} is not supported.")
    return reader(value, shape)


def _wrong_type(value: Any, wanted: str) -> ServiceError:
    found = {bool: "boolean", int: "number", float: "number", str: "string", list: "list", dict: "structure"}
    return ServiceError(
        "SerializationException",
        f"A {found.get(type(value), 'null')} value can not be converted to a {wanted}.",
    )


def _read_structure(value: Any, shape: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(value, "structure")
    return {
        name: _read_value(value[name], member) for name, member in shape.members.items() if value.get(name) is not None
    }


def _read_list(value: Any, shape: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong_type(value, "list")
    return [_read_value(item, shape.member) for item in value if item is not None]


def _read_map(value: Any, shape: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(value, "map")
    return {key: _read_value(item, shape.value) for key, item in value.items() if item is not None}


def _read_string(value: Any, shape: Shape) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, "String")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ServiceError("SerializationException", "A string holds half of a surrogate pair.") from None
    return value


def _read_integer(value: Any, shape: Shape) -> int:
    """Accept integers and integral floats (3.0), as AWS does; reject 3.5, booleans and strings."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value in INFINITE:
        raise _wrong_type(value, "Integer")
    if int(value) != value:
        raise _wrong_type(value, "Integer")
    return int(value)


def _read_float(value: Any, shape: Shape) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(value, "Float")
    return float(value)


def _read_boolean(value: Any, shape: Shape) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, "Boolean")
    return value


def _read_blob(value: Any, shape: Shape) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _wrong_type(value, "Blob") from None


def _read_timestamp(value: Any, shape: Shape) -> datetime:
    """Parse epoch seconds (JSON 1.1's form) or ISO 8601; naive times are UTC."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, bool):
            raise ValueError
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise _wrong_type(value, "Timestamp") from None


INFINITE = (float("inf"), float("-inf"))
READERS: dict[str, Callable[[Any, Any], Any]] = {
    "structure": _read_structure,
    "list": _read_list,
    "map": _read_map,
    "string": _read_string,
    "character": _read_string,
    "integer": _read_integer,
    "long": _read_integer,
    "float": _read_float,
    "double": _read_float,
    "boolean": _read_boolean,
    "blob": _read_blob,
    "timestamp": _read_timestamp,
}


def _find_violations(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield the violations of the model in `value`, in AWS's wording, depth first."""
    kind = shape.type_name
    if kind == "structure":
        yield from _check_structure(value, shape, path)
    elif kind == "list":
        yield from check_size(value, shape, path, "length")
        for number, item in enumerate(value, 1):
            yield from _find_violations(item, shape.member, f"{path}.{number}.member")
    elif kind == "map":
        yield from check_size(value, shape, path, "length")
        for key, item in value.items():
            yield from _find_violations(key, shape.key, f"{path}.{key}.key")
            yield from _find_violations(item, shape.value, f"{path}.{key}.member")
    elif kind in ("string", "character"):
        yield from _check_string(value, shape, path)
    elif kind in ("integer", "long", "float", "double"):
        yield from check_size(value, shape, path, "value")


def _check_structure(value: dict[str, Any], shape: Any, path: str) -> Iterator[str]:
    for name in shape.metadata.get("required", []):
        if name not in value:
            yield _violation(None, join(path, name), "Member must not be null")
    for name, item in value.items():
        yield from _find_violations(item, shape.members[name], join(path, name))


def check_size(value: Any, shape: Shape, path: str, measure: str) -> Iterator[str]:
    """Check `min` and `max`, which limit a number's value or the length of any other type."""
    size = value if measure == "value" else len(value)
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield _violation(value, path, f"Member must have {measure} greater than or equal to {low}")
    if high is not None and size > high:
        yield _violation(value, path, f"Member must have {measure} less than or equal to {high}")


def _check_string(value: str, shape: Any, path: str) -> Iterator[str]:
    sizes = list(check_size(value, shape, path, "length"))
    yield from sizes
    pattern, enum = shape.metadata.get("pattern"), shape.metadata.get("enum")
    if pattern and not sizes and not compile_pattern(pattern).fullmatch(value):
        yield _violation(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    if enum and value not in enum:
        yield _violation(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")


def _violation(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{show(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def show(value: Any) -> str:
    text = f"[{', '.join(map(show, value))}]" if isinstance(value, list) else str(value)
    return text if len(text) <= 1024 else text[:1024] + "..."


def join(path: str, name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


# Character classes of the model's Java patterns that `re` lacks; the property classes occur inside [...].
JAVA_TO_PYTHON = {
    r"\p{L}": r"\w",
    r"\p{M}": "\u0300-\u036f",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{N}": r"\d",
    r"\p{P}": "!-/:-@\\[-`{-~\u00a1-\u00bf\u2010-\u2027\u3000-\u303f",
    r"\p{S}": "$+<=>^`|~\u00a2-\u00a9",
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\w-_": r"\w\-_",
    r"\uD800\uDC00-\uDBFF\uDFFF": "\U00010000-\U0010ffff",
}


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile the model's Java regular expression for `fullmatch`. `\p{L}` becomes `\w`, which adds digits and `_`."""
    for java, python in JAVA_TO_PYTHON.items():
        pattern = pattern.replace(java, python)
    return re.compile(re.sub(r"\$\{\d+,\d+\}", "$", pattern))  # Java allows a repeated `$`


# --- responses ---


def _write_value(value: Any, shape: Any, path: str) -> Any:
    """Convert a Python value to a JSON value by the output shape.

    Raises TypeError for a member that the model does not define, or a required one that is missing: errors in a
    handler.
    """
    kind = shape.type_name
    if kind == "structure":
        return _write_structure(value, shape, path)
    if kind == "list":
        return [_write_value(item, shape.member, f"{path}[]") for item in value]
    if kind == "map":
        return {key: _write_value(item, shape.value, f"{path}.{key}") for key, item in value.items()}
    if kind == "timestamp":
        return _write_timestamp(value)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value


def _write_structure(value: dict[str, Any], shape: Any, path: str) -> dict[str, Any]:
    unknown = value.keys() - shape.members.keys()
    if unknown:
        raise TypeError(f"{path} has no member {', '.join(sorted(unknown))}")
    required = set(shape.metadata.get("required", []))
    missing = required - {name for name, item in value.items() if item is not None}
    if missing:
        raise TypeError(f"{path} lacks {', '.join(sorted(missing))}")
    return {
        name: _write_value(item, shape.members[name], f"{path}.{name}")
        for name, item in value.items()
        if item is not None and (item != {} or name in required)
    }


def _write_timestamp(value: datetime | float) -> float:
    """Return epoch seconds with millisecond precision, as AWS sends them; a naive datetime is UTC."""
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return round(float(value), 3)
