"""Starts and stops child processes that never outlive their parent, however the parent ends.

Linux only: the operating system sends the signal (``PR_SET_PDEATHSIG``, prctl(2)), so not even ``kill -9`` of
the parent leaves an orphan.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
TAIL_BYTES = 64 * 1024
# uvicorn's last words, and those of a panic in Rust
_NO_REASON = re.compile(r"Application startup failed\. Exiting\.|^note: |Some details are omitted")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int, death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the operating system to signal this process when its parent ends.

    Call it in a child, after any change of user: a change of user takes the request back.

    Args:
        parent_pid: the parent's id, taken before the fork. If the parent has ended already, no signal would
            ever come, so this process ends itself at once.
        death_signal: what is sent.
    """
    _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), death_signal)


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    cwd: Path | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that ends with this process.

    Call it from the main thread, or from one that lives as long as the process: the operating system watches
    the thread that forked. The child has a session of its own and no standard input.

    Args:
        argv: the program and its arguments.
        log: the file that its output is appended to.
        env: its environment; None: this process's.
        death_signal: what it is sent when this process ends.
        cwd: its working folder; None: this process's.
        prepare: runs in the child before the program, to change its user for example.
    """
    parent = os.getpid()

    def in_child() -> None:
        if prepare is not None:
            prepare()
        die_with_parent(parent, death_signal)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            # the terminal's Ctrl-C reaches the launcher alone, which then stops all in order
            start_new_session=True,
            preexec_fn=in_child,
        )


def stop(
    child: subprocess.Popen[bytes], timeout_s: float, stop_signal: signal.Signals = signal.SIGTERM
) -> None:
    """End a child: ask with ``stop_signal``, and kill it if it has not ended after ``timeout_s`` seconds."""
    if child.poll() is not None:
        return
    child.send_signal(stop_signal)
    child.send_signal(signal.SIGCONT)  # one that was stopped (SIGSTOP) would not hear the first
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_line(log: Path, since: int = 0) -> str:
    """Return the last line of a child's log, for an error message; "it said nothing" where there is none.

    What only says that it ends is passed over, and of a traceback in one line its last line is taken.

    Args:
        log: the file; its last 64 KB are read.
        since: bytes at its beginning that do not count: what a process before this one has said.
    """
    if not log.exists():
        return "it said nothing"
    with log.open("rb") as file:
        file.seek(max(since, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = _COLOURS.sub("", file.read().decode(errors="replace")).split("\n")
    said = [line.strip() for line in lines if line.strip() and not _NO_REASON.search(line)]
    if not said:
        return "it said nothing"
    _, traceback, frames = said[-1].partition("Traceback (most recent call last):")
    reasons = [line for line in frames.split("\\n") if line and not line.startswith(" ")]
    return reasons[-1] if traceback and reasons else said[-1]
