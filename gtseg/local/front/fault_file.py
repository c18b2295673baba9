"""Faults file: settings of the faults to inject, to test that clients handle failures.

The file is TOML, or JSON with the same structure (suffix .json), and is reloaded whenever it changes:

    seed = 7                                  # the same seed and sequence of requests give the same faults

    [[fault]]
    kind = "throttle"                         # see the table below
    operations = ["s3:*Object", "sagemaker:Describe*"]     # service:Operation, shell-style; default ["*"]
    resources = ["photos/*"]                  # bucket/key, or the name of the call's resource; default ["*"]
    unless = {"x-amz-request-payer" = ""}     # exclude requests with these headers; "" is any value
    rate = 0.2                                # probability for each matching operation; default 1
    skip = 2                                  # suppress the first firings; default 0
    seconds = 0.5                             # length of a delay; default 1
    limit = 10                                # maximum number of firings; default: no limit
    seed = 3                                  # for this fault only; default: derived from the file's

    [[fault]]
    kind = "answer"                           # an error response of AWS in place of the operation
    operations = ["sagemaker:CreateTrainingJob"]
    status = 400                              # the default
    code = "ResourceLimitExceeded"
    message = "The account-level service limit is 0 Instances."
    fields = {OriginalStatusCode = 500}       # further members of the error
    headers = {Retry-After = "5"}
    body = "<html>blocked</html>"             # in place of an error document; content-type is `type` (text/html)

    [[fault]]
    kind = "rewrite"                          # the operation is carried out, but its JSON response is changed
    operations = ["sagemaker:DescribeTrainingJob"]
    when = {TrainingJobStatus = "Completed"}  # members that the real response must have; default {}
    members = {TrainingJobStatus = "Stopped", SecondaryStatus = "MaxRuntimeExceeded"}
    without = ["FailureReason"]               # members that are removed

| kind | effect |
|---|---|
| throttle | not carried out; 503 SlowDown (S3), 400 ThrottlingException (others) |
| fail | not carried out; 500 InternalError (S3), InternalFailure (others) |
| answer | not carried out; the configured response, in the service's protocol |
| rewrite | carried out; members of the JSON response are replaced |
| delay | carried out `seconds` later |
| drop | carried out; the connection is closed without a response |
| truncate | carried out; the connection is closed after half of the response body |
| corrupt | carried out; one byte in the middle of the response body is changed |
| truncate-request | only half of the request body arrives |
| corrupt-request | one byte in the middle of the request body is changed before it is read |
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError

KINDS = (
    "throttle",
    "fail",
    "delay",
    "drop",
    "truncate",
    "corrupt",
    "truncate-request",
    "corrupt-request",
    "answer",
    "rewrite",
)
SETTINGS = {
    "kind": str, "operations": list, "resources": list, "unless": dict, "rate": (int, float), "skip": int,
    "seconds": (int, float), "limit": int, "seed": (int, str), "status": int, "code": str, "message": str,
    "fields": dict, "headers": dict, "body": str, "type": str, "when": dict, "members": dict, "without": list,
}  # fmt: skip
"""Keys of a fault and their types."""


@dataclass(frozen=True)
class CannedResponse:
    """Response of an "answer" fault. `body` None: an error document in the service's protocol."""

    status: int = 400
    code: str = "ValidationException"
    message: str = "no message"
    fields: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def error(self) -> ServiceError:
        return ServiceError(
            self.code,
            self.message,
            self.status,
            fields=dict(self.fields),
            headers=self.headers,
            body=self.body,
        )


@dataclass(frozen=True)
class Rewrite:
    """Changes of a JSON response that has the members of `when`: `members` are set, `without` are removed."""

    when: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def apply(self, body: bytes) -> bytes | None:
        """Return the changed response; None if it does not match `when`."""
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        if not isinstance(answer, dict) or any(answer.get(key) != value for key, value in self.when.items()):
            return None
        kept = {key: value for key, value in answer.items() if key not in self.without}
        return json.dumps({**kept, **self.members}).encode()


@dataclass
class Fault:
    kind: str
    """A fault of the file, with its settings and counters."""
    operations: tuple[str, ...] = ("*",)
    rate: float = 1.0
    seconds: float = 1.0
    limit: int | None = None
    resources: tuple[str, ...] = ("*",)
    unless: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    canned: CannedResponse = field(default_factory=CannedResponse)
    rewrite_rule: Rewrite = field(default_factory=Rewrite)
    matched: int = 0
    fired: int = 0
    passed: int = 0
    random: random.Random = field(default_factory=random.Random, repr=False)

    def is_due(self, operation: str, resource: str = "", headers: Mapping[str, str] | None = None) -> bool:
        """Return whether the fault fires.

        Draws a random number for every match, so that a limit does not shift the sequence.
        """
        if not self._matches(operation, resource, headers or {}):
            return False
        self.matched += 1
        drawn = self.random.random() < self.rate
        if drawn and self.passed < self.skip:
            self.passed += 1
            return False
        return drawn and (self.limit is None or self.fired < self.limit)

    def _matches(self, operation: str, resource: str, headers: Mapping[str, str]) -> bool:
        """Return whether an operation matches the fault's patterns and is not excluded by `unless`."""
        if not any(fnmatchcase(operation, pattern) for pattern in self.operations):
            return False
        if not any(fnmatchcase(resource, pattern) for pattern in self.resources):
            return False
        spared = all(name in headers and value in ("", headers[name]) for name, value in self.unless.items())
        return not (self.unless and spared)

    def describe(self) -> dict[str, Any]:
        names = ("kind", "operations", "rate", "seconds", "limit", "matched", "fired")
        return {name: getattr(self, name) for name in names}


def read_faults(path: Path) -> list[Fault]:
    """Read a faults file. Raises ServiceError ValidationException, which names the file and the error."""
    try:
        text = path.read_text("utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ServiceError("ValidationException", f"faults file {path}: {error}") from None
    unknown = set(settings) - {"seed", "fault"}
    if unknown:
        raise _wrong(path, f"unknown key {sorted(unknown)[0]!r}; valid keys: seed, fault")
    seed = settings.get("seed", 0)
    return [_read_fault(path, number, entry, seed) for number, entry in enumerate(settings.get("fault", []))]


def _read_fault(path: Path, number: int, entry: dict[str, Any], seed: int) -> Fault:
    if unknown := set(entry) - set(SETTINGS):
        raise _wrong(path, f"unknown key {sorted(unknown)[0]!r}; valid keys: {', '.join(sorted(SETTINGS))}")
    if entry.get("kind") not in KINDS:
        raise _wrong(path, f"kind {entry.get('kind')!r} is not one of {', '.join(KINDS)}")
    rate = entry.get("rate", 1.0)
    if not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise _wrong(path, f"rate {rate!r} is not between 0 and 1")
    for key in ("operations", "resources", "without"):
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(pattern, str) for pattern in value):
            raise _wrong(path, f"{key} {value!r} is not a list of patterns such as 's3:*'")
    for key, value in entry.items():
        if not isinstance(value, SETTINGS[key]):  # type: ignore[arg-type]
            raise _wrong(path, f"{key} {value!r} has the wrong type")
    return Fault(
        entry["kind"],
        tuple(entry.get("operations", ["*"])),
        float(rate),
        float(entry.get("seconds", 1.0)),
        entry.get("limit"),
        tuple(entry.get("resources", ["*"])),
        {name.lower(): value for name, value in entry.get("unless", {}).items()},
        entry.get("skip", 0),
        _read_canned(entry),
        Rewrite(entry.get("when", {}), entry.get("members", {}), tuple(entry.get("without", ()))),
        random=random.Random(entry.get("seed", f"{seed}:{number}")),
    )


def _read_canned(entry: dict[str, Any]) -> CannedResponse:
    given = {key: entry[key] for key in ("status", "code", "message", "fields") if key in entry}
    headers = {name.lower(): str(value) for name, value in entry.get("headers", {}).items()}
    if "body" not in entry:
        return CannedResponse(**given, headers=headers)
    kind = {"content-type": entry.get("type", "text/html")}
    return CannedResponse(**given, headers=kind | headers, body=entry["body"].encode())


def _wrong(path: Path, reason: str) -> ServiceError:
    return ServiceError("ValidationException", f"faults file {path}: {reason}")
