"""What output goes to: latin-1, 40 columns, nothing at all, a full disk, a reader who has gone."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtest.bench.environments.commands import (
    COMMAND_S,
    HANDFUL,
    Ran,
    launchday,
    plain,
    run,
    unwell,
    with_variables,
)
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options

LAUNCHDAY = (sys.executable, "-m", "launchday.cli")
REPORTS = ("report.html", "report.json", "report.csv")
LATIN_1 = {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
VERDICTS = re.compile(r"^(Passed|Failed): ", re.MULTILINE)
COLUMNS = 40


def latin_1(options: Options) -> Found:
    """Output whose characters are latin-1, in a locale that has ASCII alone."""
    return _judged(
        launchday("doctor", env=LATIN_1),
        launchday("flood", str(HANDFUL), env=LATIN_1) if options.floods else None,
    )


def forty_columns(options: Options) -> Found:
    """A terminal of 40 columns, and of no colours."""
    return _judged(
        _on_a_terminal(["doctor"], COLUMNS),
        _on_a_terminal(["flood", str(HANDFUL)], COLUMNS) if options.floods else None,
    )


def none(options: Options) -> Found:
    """Standard input, output and error are closed."""
    return _judged(
        _redirected("<&- >&- 2>&-", "doctor"),
        _redirected("<&- >&- 2>&-", "flood", str(HANDFUL)) if options.floods else None,
        shown=False,
    )


def full(options: Options) -> Found:
    """Output goes to a full disk: what is lost is said on standard error, and the report is written."""
    doctor = _redirected(">/dev/full", "doctor")
    if doctor.traceback or doctor.code < 0 or not doctor.err.strip():
        return Found(False, f"doctor ended with code {doctor.code}: {doctor.last_line}")
    if not options.floods:
        return Found(True, f"doctor: {doctor.last_line}")
    flood = _redirected(">/dev/full 2>&1", "flood", str(HANDFUL))
    if flood.code < 0:
        return Found(False, f"flood: ended by signal {-flood.code}")
    if missing := _missing_reports():
        return Found(False, f"flood: it ended without {', '.join(missing)}")
    return Found(True, f"doctor: {doctor.last_line}; the flood's report is there")


def reader_gone(options: Options) -> Found:
    """Output goes to a program that has read one line and gone: the command ends, nothing stays behind."""
    for arguments in (["doctor"], *([["flood", str(HANDFUL)]] if options.floods else [])):
        command = ["bash", "-c", 'set -o pipefail; "$@" 2>&1 | head -1 >/dev/null', "bash", *LAUNCHDAY]
        ran = run([*command, *arguments])
        if ran.code not in (0, 141) or ran.traceback:
            return Found(False, f"{arguments[0]} ended with code {ran.code}: {ran.last_line}")
    return Found(True, "both end when their reader has gone")


def _judged(doctor: Ran, flood: Ran | None, shown: bool = True) -> Found:
    if (wrong := unwell(doctor)) is not None:
        return Found(False, f"doctor: {wrong}")
    if flood is None:
        return Found(True, "doctor ends well")
    if missing := _missing_reports():
        return Found(False, f"flood: it ended without {', '.join(missing)}: {flood.last_line}")
    figures = json.dumps(json.loads(Path("report.json").read_text()))
    if (wrong := unwell(dataclasses.replace(flood, out=f"{flood.out}\n{figures}"))) is not None:
        return Found(False, f"flood: {wrong}")
    if shown and not VERDICTS.search(flood.out + flood.err):
        return Found(False, f"flood: it does not say how it ended: {flood.last_line}")
    return Found(True, "doctor and the flood end well, and the report is there")


def _missing_reports() -> list[str]:
    return [name for name in REPORTS if not Path(name).exists()]


def _redirected(how: str, *arguments: str) -> Ran:
    return run(["sh", "-c", f'exec "$@" {how}', "sh", *LAUNCHDAY, *arguments])


def _on_a_terminal(
    arguments: Sequence[str], columns: int, env: Mapping[str, str | None] | None = None
) -> Ran:
    """Run it on a terminal of its own, so many columns wide; what it printed comes as its output."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    command = ["bash", "-c", '"$@"', "bash", *LAUNCHDAY, *arguments]
    printed: list[bytes] = []
    process = subprocess.Popen(command, env=with_variables(env or {}), stdin=its, stdout=its, stderr=its)
    os.close(its)
    reader = threading.Thread(target=_read, args=(ours, printed), name="what the terminal shows")
    reader.start()
    try:
        code = process.wait(COMMAND_S)
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)
    return Ran(code, plain(b"".join(printed)), "", 0.0)


def _read(terminal: int, into: list[bytes]) -> None:
    try:
        while text := os.read(terminal, 1 << 16):
            into.append(text)
    except OSError:  # EIO: nobody has the other end any more
        return


CASES = (
    Case("terminal_latin_1", latin_1),
    Case("terminal_40_columns", forty_columns),
    Case("terminal_none", none),
    Case("terminal_full", full),
    Case("terminal_reader_gone", reader_gone),
)
