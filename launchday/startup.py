"""What each process of ours does first, before anything is opened: `prepare`.

It settles what the machine gives, so that nothing else need ask: descriptors, standard streams, the locale.
The limits are raised from the soft to the hard one, because the usual soft limit of 1,024 descriptors is
there for programs that use ``select`` (systemd's documentation of ``LimitNOFILE=``), and a service that
reaches it can say nothing any more, not even that it is well.
"""

from __future__ import annotations

import contextlib
import io
import locale
import os
import resource
import select
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TextIO

from launchday import kernel_cache
from launchday.errors import LaunchdayError
from launchday.escapes import escaped

MOST_DESCRIPTORS = 1 << 20  # what a kernel grants by default (fs.nr_open); more than any process of ours uses
NR_OPEN = Path("/proc/sys/fs/nr_open")
STACK_BYTES = 8 << 20  # Linux's default; the compiler of our kernels needs a part of it
UNKNOWN_CHARACTERS = "backslashreplace"  # a name stays whole on a terminal that has not its letters
STALLED_S = 1.0  # at a time, while whoever reads a stream that does not block takes nothing

_given: Descriptors | None = None


@dataclass(frozen=True, slots=True)
class Descriptors:
    """How many descriptors (files, sockets) this process may have open.

    Attributes:
        soft: the limit in force.
        hard: what the soft one may be raised to.
    """

    soft: int
    hard: int


def prepare() -> None:
    """Settle what the machine gives this process. Call it first in ``main``, before anything is opened.

    - Limits (`raise_limits`) go from soft to hard.
    - The end of a child is heard of, and so is a request to stop, whatever signals the parent ignored.
    - Programs that it starts import nothing from the working folder.
    - Standard streams that are closed become ``/dev/null``, so that no socket gets their number.
    - What is written to standard output and error never raises: characters that the terminal has not are
      escaped, and a full disk costs the lines (`lost_output`). A reader that has gone ends the command.
    - In a locale whose encoding is not UTF-8 the process begins again in Python's UTF-8 mode: files are UTF-8
      everywhere, and the terminal keeps its encoding.
    - An error of ours that nobody handles is one line, not a traceback.
    - Where no folder takes compiled kernels, one line says so.
    """
    raise_limits()
    _settle_signals()
    _import_nothing_of_the_user()
    _open_standard_streams()
    _begin_in_utf8()
    _settle_streams()
    sys.excepthook = _tell_in_one_line
    if warning := kernel_cache.warning():
        print(f"warning: {escaped(warning)}", file=sys.stderr, flush=True)
        kernel_cache.was_said()


def descriptors() -> Descriptors:
    """Return the limits that are in force now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Descriptors(_finite(soft), _finite(hard))


def given_descriptors() -> Descriptors:
    """Return the limits that this process was started with, before `raise_limits`."""
    return _given or descriptors()


def raise_limits() -> None:
    """Raise the soft limits of descriptors and processes to the hard ones, and that of the stack to 8 MiB."""
    global _given
    _given = _given or descriptors()
    _raise(resource.RLIMIT_NOFILE, MOST_DESCRIPTORS)
    _raise(resource.RLIMIT_NPROC, resource.RLIM_INFINITY)
    _raise(resource.RLIMIT_STACK, STACK_BYTES)


def _settle_signals() -> None:
    """Take back what a process inherits from whoever starts it.

    With SIGCHLD ignored the system throws away how children end (wait(2)): a failure looks like a success,
    and initdb fails. With SIGTERM blocked nothing stops but by SIGKILL.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _tell_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of an error of ours, whose text says what to do; of any other the traceback does."""
    if isinstance(error, LaunchdayError):
        print(f"error: {escaped(str(error))}", file=sys.stderr, flush=True)
    else:
        sys.__excepthook__(kind, error, trace)


def _import_nothing_of_the_user() -> None:
    """Leave the working folder out of the search for modules: a ``rewards.py`` of the user's is not ours.

    ``python -m`` looks there first. Our own tree is an exception, where it may be the one place to find us.
    """
    with contextlib.suppress(OSError):  # the working folder is gone
        if Path.cwd().samefile(kernel_cache.ROOT):
            return
    os.environ["PYTHONSAFEPATH"] = "1"


def lost_output() -> int:
    """How many bytes of standard output were lost because it could not be written, as on a full disk."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _StreamThatLoses) else 0


def _finite(limit: int) -> int:
    if limit == resource.RLIM_INFINITY or limit < 0:
        return _most_that_the_kernel_grants()
    return limit


def _most_that_the_kernel_grants() -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(NR_OPEN.read_text())
    return MOST_DESCRIPTORS


def _raise(limit: int, most: int) -> None:
    """Raise a soft limit to the hard one, or to ``most`` where that is less; lower nothing."""
    soft, hard = resource.getrlimit(limit)
    wanted = _lower(hard, most)
    if soft == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and wanted <= soft):
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(limit, (wanted, hard))
        return
    # The kernel refuses to touch descriptors' limits while the hard one is above what it grants.
    with contextlib.suppress(ValueError, OSError):
        granted = _lower(wanted, _most_that_the_kernel_grants())
        if granted > soft:
            resource.setrlimit(limit, (granted, granted))


def _lower(one: int, other: int) -> int:
    if one == resource.RLIM_INFINITY:
        return other
    return one if other == resource.RLIM_INFINITY else min(one, other)


def _open_standard_streams() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It takes the lowest free number: this one. What is started from here has it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for the process's life
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _begin_in_utf8() -> None:
    """Replace this process by the same in UTF-8 mode, where the locale has another encoding."""
    encoding = locale.getencoding()
    if sys.flags.utf8_mode or encoding.lower().replace("-", "") == "utf8" or not sys.executable:
        return
    own = sys.orig_argv
    if len(own) < 2 or "utf8" in own[1:3]:  # embedded in another program, or begun again already
        return
    streams = os.environ.get("PYTHONIOENCODING") or sys.stdout.encoding
    os.environ["PYTHONIOENCODING"] = streams
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *own[1:]])


def _settle_streams() -> None:
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue  # somebody has put their own there
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _settled(stream))


def _settled(stream: io.TextIOWrapper) -> TextIO:
    """Return a stream to the same descriptor whose writes do not raise."""
    try:
        stream.flush()
        raw = _StreamThatLoses(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        stream.reconfigure(errors=UNKNOWN_CHARACTERS)
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]  # typeshed's raw streams take Buffer, FileIO bytes
        encoding=stream.encoding,
        errors=UNKNOWN_CHARACTERS,
        line_buffering=stream.line_buffering or stream.write_through,
    )


class _StreamThatLoses(io.FileIO):
    """A descriptor that takes whatever it is given; what it cannot write is counted.

    Attributes:
        lost: bytes.
    """

    lost = 0

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # any buffer
        """Write some of the bytes, or lose them; raises BrokenPipeError where the reader has gone."""
        while True:
            try:
                written = super().write(data)
            except BrokenPipeError:
                raise
            except OSError:
                self.lost += len(data)
                return len(data)
            if written is not None:
                return written
            # A terminal that another program has set not to block, and that is full.
            select.select((), (self.fileno(),), (), STALLED_S)
