"""What the doors to SageMaker's APIs share: one way to call, the end of a job, tags that may be hidden, things that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from gtseg.aws.clients import Clients
from gtseg.aws.failures import is_transient, read_answer, translate
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError

__all__ = ["TERMINAL", "Calls", "HiddenTags", "is_missing", "read_tags"]

T = TypeVar("T")

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})
"""Statuses of a labeling, training, tuning or transform job that is over."""
NOT_THERE = ("could not find", "does not exist", "cannot find", "not found")


class HiddenTags(dict[str, str]):
    """Tags that the caller may not see: nobody knows whether there are any."""


class Calls:
    """Calls of one account and region. Throttling and AWS's own faults are waited out; the rest is AWSError."""

    def __init__(self, clients: Clients, *, sleep: Callable[[float], None] | None = None) -> None:
        self._clients = clients
        self._options: dict[str, Any] = {"sleep": sleep} if sleep else {}

    @property
    def _client(self) -> Any:
        """The boto3 client that is called."""
        return self._clients.sagemaker

    def _call(self, operation: str, method: str, read: Callable[[Any], T], **request: Any) -> T:
        """What `read` makes of the answer. One that it cannot read is not AWS's, and is asked for again."""

        def call() -> T:
            with translate(operation):
                answer = getattr(self._client, method)(**request)
            return read_answer(operation, answer, read)

        return persist(call, **self._options)

    def tags(self, arn: str) -> dict[str, str]:
        """Tags of a resource; HiddenTags where the caller may not list them."""
        return read_tags(lambda: self._tag_pages(arn))

    def _tag_pages(self, arn: str) -> Iterator[tuple[str, str]]:
        def read(answer: Any) -> tuple[list[tuple[str, str]], str | None]:
            return [(tag["Key"], tag["Value"]) for tag in answer.get("Tags", [])], answer.get("NextToken")

        more: dict[str, str] = {"ResourceArn": arn}
        while True:
            found, token = self._call(f"ListTags {arn}", "list_tags", read, **more)
            yield from found
            if not token:
                return
            more["NextToken"] = token


def read_tags(pages: Callable[[], Iterable[tuple[str, str]]]) -> dict[str, str]:
    """A resource's tags, HiddenTags where they are denied or throttled for good: no job is lost for that."""
    try:
        return dict(pages())
    except AWSError as error:
        if error.exit_code != 4 and not is_transient(error):
            raise
        return HiddenTags()


def is_missing(error: AWSError) -> bool:
    """Whether SageMaker says that a thing does not exist: mostly as ValidationException 'Could not find ...'."""
    if error.code in {"ResourceNotFound", "ResourceNotFoundException"}:
        return True
    return error.code in {"ValidationException", "ValidationError"} and any(
        words in error.message.lower() for words in NOT_THERE
    )
