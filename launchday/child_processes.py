"""Child processes that never outlive their parent, however the parent ends.

Linux only: the kernel itself sends the signal (``PR_SET_PDEATHSIG``), so not even ``kill -9`` of the parent
leaves an orphan.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int, death_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to signal this process when its parent ends. Call it in a child, after any change of
    user.

    ``parent_pid`` is the parent's id, taken before the fork: were the parent gone already, no signal would
    ever come, so this process ends itself.
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
    """Start a program tied to this process, its output appended to ``log``, its own process group, no
    standard input.

    ``prepare`` runs in the child first, to change its user for example. Call from the main thread, or one
    that lives as long as the process: the kernel watches the thread that forked.
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
    """End a child: ask with ``stop_signal``, and kill it after ``timeout_s``."""
    if child.poll() is not None:
        return
    child.send_signal(stop_signal)
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def last_line(log: Path) -> str:
    """What a child said last, for an error message; a child that said nothing says so."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
