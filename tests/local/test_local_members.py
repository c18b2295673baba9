"""Every member of every operation's input is read, refused, or ignored for a documented reason.

Walks botocore's service models. "Read" is checked against the code: the member's name stands as a string in the room
that answers the operation (S3: it is looked up while a real request is answered). "Refused" is checked by sending it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.members import IGNORED, REFUSED, find_values, has_effect, refuse_members
from gtseg.local.front.protocol import JsonService, load_model
from gtseg.local.front.registry import register_services
from gtseg.local.hosting import invocation
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store

LOCAL = Path(__file__).parents[2] / "gtseg" / "local"
# Where the members of a room's operations are read too.
BESIDES = {"tuning": ("training",), "transform": ("hosting",)}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, JsonService]]:
    folder = tmp_path_factory.mktemp("members")
    store = Store(folder)
    yield register_services(Embedded(store=store, objects=FolderObjects(folder)))[0]
    store.close()


def walk(shape: Any, path: str = "", above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield (path, shape) of every member below a shape; recursive shapes are entered once."""
    if shape is None or shape.name in above:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            below = f"{path}.{name}" if path else name
            yield below, member
            yield from walk(member, below, (*above, shape.name))
    elif shape.type_name == "list":
        yield from walk(shape.member, f"{path}[]", above)
    elif shape.type_name == "map":
        yield from walk(shape.value, f"{path}{{}}", above)


@cache
def parse_room(room: str) -> tuple[ast.Module, ...]:
    folders = (room, "jobs", *BESIDES.get(room, ()))
    return tuple(ast.parse(path.read_text()) for name in folders for path in (LOCAL / name).rglob("*.py"))


@cache
def read_names(room: str) -> frozenset[str]:
    """Strings in a package's code, without docstrings, and fields of its structs."""
    names: set[str] = set()
    for tree in parse_room(room):
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
                names.add(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return frozenset(names)


@cache
def refused_names(room: str) -> frozenset[str]:
    """Strings passed to refuse() or listed in a table named ...REFUSED."""
    names: set[str] = set()
    for tree in parse_room(room):
        for node in ast.walk(tree):
            is_call = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "refuse"
            is_table = isinstance(node, ast.Assign) and "REFUSED" in getattr(node.targets[0], "id", "")
            if is_call or is_table:
                names |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
    # labeling refuses these by rules of its own (rules.py, teams.py)
    return frozenset(names | {"OidcConfig", "WorkforceVpcConfig"})


def is_below(path: str, ancestor: str) -> bool:
    return path == ancestor or path.startswith((f"{ancestor}.", f"{ancestor}[", f"{ancestor}{{"))


def find_ignored(service: JsonService, operation: str) -> list[str]:
    """Members that are neither read, refused nor listed."""
    room = service.handler(operation).__module__.split(".")[2]
    listed = (*REFUSED.get(operation, ()), *IGNORED.get(operation, {}))
    found = []
    for path, _ in walk(service.model.operation_model(operation).input_shape):
        names = [part.rstrip("[]{}") for part in path.split(".")]
        if any(is_below(path, ancestor) for ancestor in listed) or refused_names(room) & set(names[:-1]):
            continue
        if names[-1] not in read_names(room):
            found.append(path)
    return found


def test_every_member_of_every_json_operation_is_accounted_for(services: dict[str, JsonService]) -> None:
    ignored = {
        f"{service.name}:{operation}": found
        for service in services.values()
        for operation in service.operations
        if (found := find_ignored(service, operation))
    }
    assert ignored == {}


def test_the_tables_name_existing_members_once_with_a_reason(
    services: dict[str, JsonService],
) -> None:
    operations = {name: service for service in services.values() for name in service.operations}
    for operation in REFUSED.keys() | IGNORED.keys():
        shape = operations[operation].model.operation_model(operation).input_shape
        paths = {path for path, _ in walk(shape)}
        refused, ignored = set(REFUSED.get(operation, ())), IGNORED.get(operation, {})
        assert refused | ignored.keys() <= paths, operation
        assert not refused & ignored.keys()
        assert all(len(reason) > 10 for reason in ignored.values())


def test_every_header_of_an_invocation_is_forwarded_read_refused_or_listed() -> None:
    shape = load_model("sagemaker-runtime").operation_model("InvokeEndpoint").input_shape
    assert shape is not None
    headers = [
        member.serialization["name"].lower()
        for member in shape.members.values()
        if member.serialization.get("location") == "header"
    ]
    handled = read_names("hosting") | set(invocation.REFUSED) | invocation.IGNORED.keys()
    assert [header for header in headers if header not in handled] == []
    for header in invocation.REFUSED:
        with pytest.raises(ServiceError, match="is not supported by the embedded AWS"):
            invocation.check_request({header: "x"}, b"")
    assert all(len(reason) > 10 for reason in invocation.IGNORED.values())


def make_value(shape: Any, path: str, *, whole: bool = False) -> Any:
    """A small value of a shape with its required members and the complete member at `path`."""
    head, _, rest = path.partition(".")
    name = head.rstrip("[]{}")
    if shape.type_name == "structure":
        wanted = set(shape.metadata.get("required", [])) | ({name} if name else set())
        wanted |= set(shape.members) if whole and not path else set()
        return {
            key: make_value(shape.members[key], rest if key == name else "", whole=whole and (key == name or not path))
            for key in wanted
        }
    if shape.type_name == "list":
        return [make_value(shape.member, path, whole=whole)] * max(1, shape.metadata.get("min", 1))
    if shape.type_name == "map":
        return {}
    return make_scalar(shape)


def make_scalar(shape: Any) -> Any:
    if shape.type_name == "boolean":
        return True
    if shape.type_name in ("integer", "long", "float", "double"):
        return max(1, shape.metadata.get("min", 1))
    if shape.type_name == "timestamp":
        return 1
    if "enum" in shape.metadata:
        return shape.metadata["enum"][0]
    return "a" * max(1, shape.metadata.get("min", 1))


CASES = [(operation, path) for operation, paths in REFUSED.items() for path in paths]


@pytest.mark.parametrize(("operation", "path"), CASES)
def test_a_refused_member_is_refused_in_any_request(
    services: dict[str, JsonService], operation: str, path: str
) -> None:
    service = next(service for service in services.values() if operation in service.operations)
    request = make_value(service.model.operation_model(operation).input_shape, path, whole=True)
    assert any(has_effect(value) for value in find_values(request, path))
    with pytest.raises(ServiceError, match="is not supported by the embedded AWS"):
        refuse_members(operation, request)


def test_json_services_check_members_before_the_handler(services: dict[str, JsonService]) -> None:
    body = json.dumps({"logGroupName": "g", "kmsKeyId": "k"}).encode()
    status, _, answer = services["logs"].answer("Logs_20140328.CreateLogGroup", body)
    assert (status, b"kmsKeyId is not supported" in answer) == (400, True)
    body = json.dumps({"logGroupName": "g", "deletionProtectionEnabled": False}).encode()
    assert services["logs"].answer("Logs_20140328.CreateLogGroup", body)[0] == 200
