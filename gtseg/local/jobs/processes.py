"""Processes of jobs: at most one per job; a process survives a killed server and is found by the next one.

The folder of a process holds `lock`, `pid`, `exit` and `output`. The lock (flock) is inherited by the process and its
children and is released by the kernel when the last of them has ended: acquiring it proves that nothing runs, without
trusting a process ID that may have been reused. A POSIX shell in between writes the exit code to `exit`, because a
server that was started later is not the parent and cannot wait for the process.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

from gtseg.local.locks import is_locked

ON_ITS_OWN = """
trap : TERM INT HUP
echo $$ > "$0/pid"
"$@" < /dev/null
code=$?
echo $code > "$0/exit.new" && mv "$0/exit.new" "$0/exit"
"""
"""Shell script that runs a process and writes its exit code; $0 is the folder.

SIGTERM goes to the whole group; the shell survives it.
"""
WITH_ITS_PARENT = """
exec 9<&0
echo $$ > "$0/pid"
"$@" < /dev/null 9<&- &
child=$!
trap 'kill $child 2>/dev/null' TERM INT HUP
(read -r nothing <&9; kill $child 2>/dev/null) &
watch=$!
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
echo $code > "$0/exit.new" && mv "$0/exit.new" "$0/exit"
kill $watch 2>/dev/null
"""
"""The same for a process that ends with its parent: standard input is a pipe that only the server holds open."""
LOWERED = """
{{ echo {} > /proc/self/autogroup; }} 2>/dev/null
"""
"""Script that lowers the priority of a session; Linux shares the processor fairly among sessions, whatever the niceness
of a process (sched(7), "The autogroup feature"). Without that file it has no effect.
"""


class Process:
    """The process of a folder, started by this server or an earlier one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self._popen: subprocess.Popen[bytes] | None = None

    def launch(
        self,
        command: list[str],
        *,
        environment: dict[str, str] | None = None,
        dies_with_us: bool = False,
        niceness: int = 0,
    ) -> None:
        """Start `command` with output appended to `output`. Raises RuntimeError if one already runs in this folder.

        `niceness`: of the command, and of its session among other sessions (see LOWERED).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(self.folder / "lock")
        try:
            _take(descriptor, self.folder)
            for name in ("exit", "pid"):
                (self.folder / name).unlink(missing_ok=True)
            with self.output.open("ab") as output:
                self._popen = subprocess.Popen(
                    [
                        "/bin/sh",
                        "-c",
                        (LOWERED.format(niceness) if niceness else "")
                        + (WITH_ITS_PARENT if dies_with_us else ON_ITS_OWN),
                        str(self.folder),
                        *(("nice", "-n", str(niceness)) if niceness else ()),
                        *command,
                    ],
                    stdin=subprocess.PIPE if dies_with_us else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                    pass_fds=(descriptor,),
                )
        finally:
            os.close(descriptor)

    def alive(self) -> bool:
        """Return whether any process of this folder is alive, according to the kernel's lock."""
        if self._popen is not None:
            self._popen.poll()  # reaps the zombie
        return is_locked(self.folder / "lock")

    def exit_code(self) -> int | None:
        """Return the exit code; None while it runs, or if it was killed together with its shell."""
        try:
            return int((self.folder / "exit").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def send(self, number: signal.Signals) -> None:
        """Signal the process group if it is alive."""
        try:
            group = int((self.folder / "pid").read_text())
            if self.alive():
                os.killpg(group, number)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            pass

    def wait(self, seconds: float) -> bool:
        """Wait until the process has ended; return False after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def end(self, grace: float) -> None:
        """Send SIGTERM, wait `grace` seconds, then send SIGKILL."""
        self.send(signal.SIGTERM)
        if not self.wait(grace):
            self.send(signal.SIGKILL)
            self.wait(5)
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()


def _open_lock(path: Path) -> int:
    """Return a descriptor above those that the shell scripts use."""
    low = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 20)
    finally:
        os.close(low)


def _take(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"a process already runs in {folder}") from None
