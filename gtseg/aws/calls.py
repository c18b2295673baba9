"""Base of the SageMaker API clients: calls with retries, terminal job statuses, tags, missing resources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from gtseg.aws.clients import Clients
from gtseg.aws.failures import is_transient, read_answer, translate
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError

T = TypeVar("T")

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})
"""Terminal statuses of labeling, training, tuning and transform jobs."""
NOT_THERE = ("could not find", "does not exist", "cannot find", "not found")


class HiddenTags(dict[str, str]):
    """Tags that the caller has no permission to list; the resource may have some or none."""


class Calls:
    """API calls in one account and region.

    Retries throttling and server errors; raises AWSError for all other errors.
    """

    def __init__(self, clients: Clients, *, sleep: Callable[[float], None] | None = None) -> None:
        self._clients = clients
        self._options: dict[str, Any] = {"sleep": sleep} if sleep else {}

    @property
    def _client(self) -> Any:
        """The boto3 client that the calls use."""
        return self._clients.sagemaker

    def _call(self, operation: str, method: str, read: Callable[[Any], T], **request: Any) -> T:
        """Call the API and return `read(response)`.

        A response that `read` cannot parse is not from AWS and is retried.
        """

        def call() -> T:
            with translate(operation):
                answer = getattr(self._client, method)(**request)
            return read_answer(operation, answer, read)

        return persist(call, **self._options)

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource; HiddenTags if the caller may not list them."""
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
    """Return the tags of a resource; HiddenTags if ListTags is denied or stays throttled, which never fails a job."""
    try:
        return dict(pages())
    except AWSError as error:
        if error.exit_code != 4 and not is_transient(error):
            raise
        return HiddenTags()


def is_missing(error: AWSError) -> bool:
    """Return whether the error means that a resource does not exist.

    SageMaker mostly reports it as ValidationException 'Could not find ...'.
    """
    if error.code in {"ResourceNotFound", "ResourceNotFoundException"}:
        return True
    return error.code in {"ValidationException", "ValidationError"} and any(
        words in error.message.lower() for words in NOT_THERE
    )
