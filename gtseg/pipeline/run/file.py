"""run.json: read it, and write it only if no other process has written it since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import CONDITION_CODES, S3
from gtseg.errors import AWSError, GtsegError
from gtseg.pipeline.run.sections import VERSION, Run
from gtseg.settings import Settings


def locate(settings: Settings, clients: Clients, *, name: str | None = None) -> str:
    """Return s3://<bucket>/<prefix><run>/ of a run."""
    project = settings.project
    bucket = project.bucket or f"gtseg-{clients.account}-{clients.region}"
    return f"s3://{bucket}/{project.prefix}{name or project.name}/"


def list_runs(settings: Settings, clients: Clients) -> list[str]:
    """Return the sorted names of the runs below the project's bucket and prefix; none if the bucket does not exist."""
    s3 = S3(clients)
    try:
        roots = list(s3.list_folders(locate(settings, clients, name="x").removesuffix("x/")))
    except AWSError as error:
        if error.exit_code != 3:
            raise
        return []
    return sorted(root.rstrip("/").rsplit("/", 1)[-1] for root in roots if s3.exists(f"{root}run.json"))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class RunFile:
    """Reader and writer of run.json of the run below `root`."""

    def __init__(self, clients: Clients, root: str, *, clock: Callable[[], datetime] = now) -> None:
        self.clients, self.root, self.clock = clients, root, clock

    @property
    def uri(self) -> str:
        return self.root + "run.json"

    def load(self) -> Run:
        """Return the stored run, or a new one (etag None) if there is none.

        Raises GtsegError if the file is invalid or was written by a newer gtseg.
        """
        try:
            body, etag = S3(self.clients).read(self.uri)
        except AWSError as error:
            if error.exit_code != 3:
                raise
            return self._new()
        try:
            run = Run.model_validate_json(body)
        except ValidationError as error:
            raise GtsegError(f"{self.uri} is not a run of this gtseg (version {VERSION}): {_first(error)}") from None
        if run.version != VERSION:
            raise GtsegError(f"{self.uri} has version {run.version}; this gtseg reads version {VERSION}. Update gtseg.")
        return run.update(etag=etag, root=self.root)

    def save(self, run: Run) -> Run:
        """Write the run and return it with its new etag.

        Raises GtsegError, and writes nothing, if another process wrote in between.
        """
        body = run.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"
        try:
            etag = S3(self.clients).write(self.uri, body, if_match=run.etag, if_none_match=run.etag is None)
        except AWSError as error:
            if error.code not in CONDITION_CODES:
                raise
            etag = self._find_own(body) if error.was_retried else ""
        if not etag:
            raise self._conflict(run)
        return run.update(etag=etag)

    def _find_own(self, body: bytes) -> str:
        """Return the ETag if the stored bytes equal `body`.

        The response to the first request was lost and its retry conflicted.
        """
        there = S3(self.clients).read_if_exists(self.uri)
        return there[1] if there and there[0] == body else ""

    def _conflict(self, run: Run) -> GtsegError:
        return GtsegError(
            f"Another gtseg process has advanced run {run.name!r} since this one read it: {self.uri} was changed. "
            "This process stops so that no work is done twice. Run the same command again to continue."
        )

    def _new(self) -> Run:
        name = self.root.rstrip("/").rsplit("/", 1)[-1]
        return Run(
            name=name,
            root=self.root,
            account=self.clients.account,
            region=self.clients.region,
            created=self.clock(),
        )


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
