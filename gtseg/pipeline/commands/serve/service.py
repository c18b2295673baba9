"""Loop of `gtseg serve`: poll all runs and their jobs, then advance every run that can go on in its own thread."""

from __future__ import annotations

import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TextIO

from gtseg.aws.clients import Clients
from gtseg.aws.failures import is_transient
from gtseg.errors import CREDENTIAL_CODES, AWSError, GtsegError, Interrupted
from gtseg.pipeline.commands.serve.decisions import Decision, decide, waits_for
from gtseg.pipeline.commands.serve.health import Health, serve_health
from gtseg.pipeline.run import Context, Run, RunFile, locate
from gtseg.pipeline.run.account import open_clients
from gtseg.pipeline.run.budget import Meter
from gtseg.pipeline.run.cost import check_budget
from gtseg.pipeline.run.events import Consent, Event, ignore
from gtseg.pipeline.stages.cleanup import Sweep, cleanup, sweep
from gtseg.pipeline.stages.order import STAGES
from gtseg.pipeline.stages.train import train
from gtseg.settings import Settings

WORKERS = 4
STOP_SECONDS = 20.0
HAS_TIMER = hasattr(signal, "setitimer")
SLOWEST = 600.0
"""Seconds between polls while none succeeds (expired credentials, AWS unavailable)."""


class Service:
    """Stateless service: it may be killed at any time, and several instances may run at the same time."""

    def __init__(
        self, settings: Settings, *, clients: Callable[[], Clients] | None = None, log: TextIO | None = None
    ) -> None:
        self.settings, self.log = settings, log or sys.stderr
        self._make_clients = clients or (lambda: open_clients(settings))
        self.clients = self._make_clients()
        self.stop = threading.Event()
        self.health = Health(stale=max(60.0, 10.0 * settings.serve.interval))
        self.busy: dict[str, Future[None]] = {}
        self.blocked: dict[str, tuple[str | None, str]] = {}
        """root -> (etag of run.json, reason): a failed run is not retried until it has changed."""
        self.waiting: dict[str, str] = {}
        self.warned: dict[str, Decimal | None] = {}
        self.swept: dict[str, str | None] = {}
        """root -> etag of run.json when [budget] was reached and everything was stopped."""

    def run(self, *, once: bool = False) -> int:
        """Run until SIGTERM or Ctrl-C (or for one poll); return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        if HAS_TIMER:
            signal.signal(signal.SIGALRM, signal.default_int_handler)
        server = serve_health(self.health, self.settings.serve.host, self.settings.serve.port)
        host, port = self.settings.serve.host, server.server_address[1]
        self.write_log("info", "started", until=self.settings.serve.until, health=f"http://{host}:{port}/healthz")
        pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="run")
        try:
            trouble = self.loop(pool, once=once)
        finally:
            self._limit_stop(0)
            server.shutdown()
            pool.shutdown(wait=False, cancel_futures=not once or self.stop.is_set())
            self._await_stages(None if once and not self.stop.is_set() else STOP_SECONDS)
        self.write_log("info", "stopped")
        return 1 if once and trouble else 0

    def _end(self, number: int, frame: Any) -> None:
        """Stop soon; waits of the main thread are interrupted after STOP_SECONDS, or by a second signal."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()
        self._limit_stop(STOP_SECONDS)

    def _limit_stop(self, seconds: float) -> None:
        if HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def loop(self, pool: ThreadPoolExecutor, *, once: bool) -> bool:
        """Poll until stopped; return whether the last poll failed."""
        pause, trouble = float(self.settings.serve.interval), False
        while not self.stop.is_set():
            trouble = not self.poll(pool)
            if once:
                break
            pause = min(SLOWEST, pause * 2) if trouble else float(self.settings.serve.interval)
            self.stop.wait(pause)
        return trouble

    def poll(self, pool: ThreadPoolExecutor) -> bool:
        """Poll everything once; False if AWS could not be reached. Never raises."""
        try:
            runs = self.load_runs()
            jobs = self.job_states(runs)
            self.delete_expired(runs)
            runs = [self.keep_budget(run) for run in runs]
        except GtsegError as error:
            self._trouble(error)
            return False
        except Exception:
            self.write_log("error", "bug", message=traceback.format_exc())
            self.health.failed("an internal error, see the log")
            return False
        if not runs and self.settings.serve.begin:
            runs = self.begin_first()
        if not runs:
            self._log_once("", "info", "waiting", message=self._no_runs())
        states = {run.name: self.advance(run, jobs, pool) for run in runs}
        self.health.polled(states)
        return True

    def begin_first(self) -> list[Run]:
        """Return a new run for the project's first stage; none if AWS cannot be reached."""
        try:
            return [RunFile(self.clients, locate(self.settings, self.clients)).load()]
        except GtsegError as error:
            self._trouble(error)
            return []

    def _no_runs(self) -> str:
        name = self.settings.project.name
        return (
            f"a first run of project {name!r} below {self.place()}: start one with `gtseg label` (or [serve] begin = "
            "true)"
        )

    def place(self) -> str:
        """s3://bucket/prefix/: common prefix of all runs of the project."""
        return locate(self.settings, self.clients, name="x").removesuffix("x/")

    def load_runs(self) -> list[Run]:
        """Return every run of this project below its bucket and prefix; runs of other projects are ignored."""
        s3 = self.context().s3
        runs = []
        for root in s3.list_folders(self.place()):
            if s3.exists(root + "run.json"):
                try:
                    run = RunFile(self.clients, root).load()
                    if (run.project or run.name) == self.settings.project.name:
                        runs.append(run)
                except AWSError:
                    raise
                except GtsegError as error:
                    self._log_once(root, "error", "unreadable", message=str(error))
        return runs

    def job_states(self, runs: list[Run]) -> dict[str, str]:
        """Return status by name of all jobs that a run waits for, with one listing of each kind (none if no run
        waits)."""
        labeling = {name for run in runs for stage, name in waits_for(run).items() if stage == "watch"}
        training = {name for run in runs for stage, name in waits_for(run).items() if stage == "train"}
        found: dict[str, str] = {}
        if labeling:
            for job in self.context().labeling.list_jobs(limit=10_000):
                found |= {job.name: job.status} if job.name in labeling else {}
                if labeling <= found.keys():
                    break
        if training:
            for name, _, status in self.context().training.list_jobs():
                found |= {name: status} if name in training else {}
                if training <= found.keys():
                    break
        return found

    def delete_expired(self, runs: list[Run]) -> None:
        """Delete endpoints past their time to live; checked only if a run may have one."""
        now = datetime.now(UTC)
        for run in runs:
            endpoint = run.endpoint
            if endpoint and endpoint.deleted is None and endpoint.expires and endpoint.expires <= now:
                sweep(run, self.context(run), Sweep(expired=True))

    def keep_budget(self, run: Run) -> Run:
        """Stop the work of a run that exceeds [budget] and delete its endpoint, once for each state of the run."""
        live = run.endpoint is not None and run.endpoint.deleted is None
        if not (live or waits_for(run)) or self.swept.get(run.root, "") == run.etag:
            return run
        meter = Meter(run, self.context(run).of("serve"))
        meter.warned_at = self.warned.get(run.root)
        is_reached = meter.is_reached()
        self.warned[run.root] = meter.warned_at
        if is_reached:
            run, _ = sweep(run, self.context(run), Sweep(everything=True))
            self.swept[run.root] = run.etag
        return run

    def advance(self, run: Run, jobs: dict[str, str], pool: ThreadPoolExecutor) -> dict[str, Any]:
        """Start the run's next stage unless it is running; return its state for /healthz."""
        if run.root in self.busy and not self.busy[run.root].done():
            return {"state": "working"}
        blocked = self.blocked.get(run.root)
        if blocked and blocked[0] == run.etag:
            return {"state": "blocked", "reason": blocked[1]}
        decision = decide(run, jobs, settings=self.settings)
        if not decision.go:
            self._log_once(run.root, "info", "waiting", run=run.name, stage=decision.stage, message=decision.waits_for)
            return {"state": "waiting", "stage": decision.stage, "for": decision.waits_for}
        self.busy[run.root] = pool.submit(self.run_stage, run, decision)
        return {"state": "working", "stage": decision.stage}

    def run_stage(self, run: Run, decision: Decision) -> None:
        """Run one stage of one run and save it.

        Errors are logged; permanent ones prevent retries until the run changes.
        """
        self.write_log("info", "begin", run=run.name, stage=decision.stage)
        run_file = RunFile(self.clients, run.root)
        try:
            run_file.save(self._stage(run, decision.stage))
            self.write_log("info", "end", run=run.name, stage=decision.stage)
        except Interrupted:
            self.write_log("info", "left", run=run.name, stage=decision.stage, message="it continues at the next start")
        except GtsegError as error:
            self._failed(run, decision, error, run_file)
        except Exception:
            self.blocked[run.root] = (run.etag, "an internal error, see the log")
            self.write_log("error", "bug", run=run.name, stage=decision.stage, message=traceback.format_exc())

    def _stage(self, run: Run, name: str) -> Run:
        context = self.context(run)
        if name == "cleanup":
            return cleanup(run, context)
        if name == "train":
            return train(run, context, follow="train" in waits_for(run))
        return next(stage for stage in STAGES if stage.name == name).function(run, context)

    def context(self, run: Run | None = None) -> Context:
        """Return the context for a stage of this run; there is no confirmation, but [budget] applies."""
        notify = self._make_listener(run) if run else ignore
        return Context(self.settings, self.clients, notify, Consent(check_cost=self._check_cost), self.sleep)

    def _check_cost(self, stage: str, run: Run, objects: int | None) -> None:
        context = self.context(run)
        if words := check_budget(stage, run, context, objects=objects)[1]:
            context.of(stage).warn(words)

    def sleep(self, seconds: float) -> None:
        """Wait, until a stop interrupts it."""
        if self.stop.wait(seconds):
            raise Interrupted("the service stops")

    def _failed(self, run: Run, decision: Decision, error: GtsegError, run_file: RunFile) -> None:
        self.write_log("error", "failed", run=run.name, stage=decision.stage, message=str(error))
        if is_transient(error) or (isinstance(error, AWSError) and error.code in CREDENTIAL_CODES):
            self.clients = self._make_clients()
            return
        try:
            etag = run_file.load().etag
        except GtsegError:
            etag = run.etag
        self.blocked[run.root] = (etag, str(error))

    def _trouble(self, error: GtsegError) -> None:
        self.write_log("error", "trouble", message=str(error))
        self.health.failed(str(error))
        self.clients = self._make_clients()

    def _await_stages(self, seconds: float | None) -> None:
        for future in list(self.busy.values()):
            try:
                future.result(seconds)
            except (Exception, CancelledError):
                self.write_log("warning", "left", message="a stage was interrupted; it continues at the next start")

    def _make_listener(self, run: Run) -> Callable[[Event], None]:
        def listen(event: Event) -> None:
            if event.kind in ("note", "warning", "finished", "epoch"):
                level = "warning" if event.kind == "warning" else "info"
                self.write_log(level, event.kind, run=run.name, stage=event.stage, message=event.message)
            else:
                ignore(event)

        return listen

    def _log_once(self, key: str, level: str, event: str, **fields: Any) -> None:
        words = json.dumps(fields, default=str)
        if self.waiting.get(key) != words:
            self.waiting[key] = words
            self.write_log(level, event, **fields)

    def write_log(self, level: str, event: str, **fields: Any) -> None:
        """Write one JSON object per line."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            **fields,
        }
        print(json.dumps(line, default=str, ensure_ascii=False), file=self.log, flush=True)
