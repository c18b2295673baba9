"""Child processes with limits on time and memory, which answer one request at a time over a pipe.

A child that exceeds its time limit is killed. A child that died is restarted at the next request. It exits when its
standard input closes, however this process ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.pictures import return_large_blocks

LENGTH = 8
"""Size of the length prefix of each message, in bytes."""
Handler = Callable[[dict[str, Any]], Any]


class ChildProcessDied(Exception):
    """The child process ended before it answered; `timed_out` if it exceeded the time limit."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("the process exceeded its time limit" if timed_out else "the process ended")
        self.timed_out = timed_out


class ChildProcess:
    """A child process running `module`, a main program that calls `serve_requests`.

    Requests are serialized by a lock.
    """

    def __init__(self, module: str, arguments: Sequence[str] = ()) -> None:
        self.module, self.arguments = module, tuple(arguments)
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def request(self, request: dict[str, Any], *, seconds: float) -> Any:
        """Return the child's answer. Raises ChildProcessDied, or the ServiceError raised in the child."""
        message = msgspec.msgpack.encode(request)
        with self.lock:
            answer = self._exchange(message, seconds)
        error = answer.get("error")
        if error is not None:
            raise ServiceError(error["code"], error["message"], error["status"])
        return answer["answer"]

    def _exchange(self, message: bytes, seconds: float) -> dict[str, Any]:
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        process, late = self.process, threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(len(message).to_bytes(LENGTH, "big") + message)
            process.stdin.flush()
            size = int.from_bytes(read_exactly(process.stdout, LENGTH), "big")
            answer: dict[str, Any] = msgspec.msgpack.decode(read_exactly(process.stdout, size))
        except (OSError, EOFError):
            self.close()
            raise ChildProcessDied(timed_out=late.is_set()) from None
        finally:
            timer.cancel()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self.module, *self.arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """Kill the process and close its pipes."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def read_exactly(file: Any, size: int) -> bytes:
    """Read `size` bytes. Raises EOFError if the file ends earlier."""
    data: bytes = file.read(size)
    if len(data) != size:
        raise EOFError
    return data


# --- in the child process ---


def serve_requests(handlers: dict[str, Handler], *, memory: int, seconds: float, nice: int = 0) -> None:
    """Answer requests, {"do": name, ...}, until standard input ends.

    `memory` limits the address space in bytes, `seconds` the processor time of one request, `nice` lowers the priority.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the server, which closes the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep what libraries print out of the answers
    return_large_blocks()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(nice)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=read_requests, args=(requests,), daemon=True).start()
    while True:
        limit_time(seconds)
        write(answers, answer_request(handlers, requests.get()))


def read_requests(requests: queue.Queue[bytes]) -> None:
    """Read requests into the queue; exit the process at the end of input."""
    source = sys.stdin.buffer
    try:
        while True:
            size = int.from_bytes(read_exactly(source, LENGTH), "big")
            requests.put(read_exactly(source, size))
    except (OSError, EOFError):
        os._exit(0)  # also while an answer is computed: its reader is gone


def limit_time(seconds: float) -> None:
    """Limit the processor time of the next request; the kernel kills the process beyond it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def answer_request(handlers: dict[str, Handler], message: bytes) -> dict[str, Any]:
    """Run the request's handler; return {"answer"} or {"error"}. Exits the process if it is out of memory."""
    request: dict[str, Any] = msgspec.msgpack.decode(message)
    try:
        return {"answer": handlers[request.pop("do")](request)}
    except ServiceError as error:
        return {"error": {"code": error.code, "message": error.message, "status": error.status}}
    except MemoryError:
        os._exit(1)


def write(file: Any, answer: dict[str, Any]) -> None:
    message = msgspec.msgpack.encode(answer)
    file.write(len(message).to_bytes(LENGTH, "big") + message)
    file.flush()
