"""Processes of our own that do what may take too much time or memory: one question at a time over a pipe, with a limit on both.

A child that takes too long is killed, one that dies (killed from outside, out of memory) is started anew at the next question.
It ends when its standard input does, however this process ends.
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

__all__ = ["Child", "ChildDied", "serve_questions"]

LENGTH = 8  # bytes before each message
Handler = Callable[[dict[str, Any]], Any]


class ChildDied(Exception):
    """The process ended before it answered; `timed_out`: because its time was over."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("the process took too long" if timed_out else "the process ended")
        self.timed_out = timed_out


class Child:
    """One process that runs `module` (a main that calls serve_questions). Questions of several threads wait for each other."""

    def __init__(self, module: str, arguments: Sequence[str] = ()) -> None:
        self.module, self.arguments = module, tuple(arguments)
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None else None

    def ask(self, question: dict[str, Any], *, seconds: float) -> Any:
        """The answer. Raises ChildDied, or the ServiceError that the child raised."""
        message = msgspec.msgpack.encode(question)
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
            raise ChildDied(timed_out=late.is_set()) from None
        finally:
            timer.cancel()
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", self.module, *self.arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the process."""
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
    data: bytes = file.read(size)
    if len(data) != size:
        raise EOFError
    return data


# ---------------------------------------------------------------- in the child


def serve_questions(handlers: dict[str, Handler], *, memory: int, seconds: float, nice: int = 0) -> None:
    """Answer questions ({"do": name, ...}) until standard input ends.

    `memory`: bytes of address space that the process may have; `seconds`: of processor time that one question may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it closes the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    return_large_blocks()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.nice(nice)
    questions: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=read_questions, args=(questions,), daemon=True).start()
    while True:
        limit_time(seconds)
        write(answers, answer_question(handlers, questions.get()))


def read_questions(questions: queue.Queue[bytes]) -> None:
    source = sys.stdin.buffer
    try:
        while True:
            size = int.from_bytes(read_exactly(source, LENGTH), "big")
            questions.put(read_exactly(source, size))
    except (OSError, EOFError):
        os._exit(0)  # also in the middle of an answer: nobody reads it


def limit_time(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def answer_question(handlers: dict[str, Handler], message: bytes) -> dict[str, Any]:
    question: dict[str, Any] = msgspec.msgpack.decode(message)
    try:
        return {"answer": handlers[question.pop("do")](question)}
    except ServiceError as error:
        return {"error": {"code": error.code, "message": error.message, "status": error.status}}
    except MemoryError:
        os._exit(1)


def write(file: Any, answer: dict[str, Any]) -> None:
    message = msgspec.msgpack.encode(answer)
    file.write(len(message).to_bytes(LENGTH, "big") + message)
    file.flush()
