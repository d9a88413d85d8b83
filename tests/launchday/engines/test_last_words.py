"""What an engine that ended leaves, and what one is given: its log's reason, and no stranger's variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchday import child_processes
from launchday.engines.base import engine_environment, why_ended

OTHER_START = b"FATAL: No space left on device\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            'LOG:  could not fork "io_worker" process: Resource temporarily unavailable\nLOG:  shut down\n',
            'LOG:  could not fork "io_worker" process: Resource temporarily unavailable: raise the limit on '
            "processes (ulimit -u, or the container's)",
        ),
        (
            "ok\n2026-11-30 UTC [1] FATAL: x: File too large\ninitdb: removing data directory\n",
            "FATAL: x: File too large: raise the limit on the size of files (ulimit -f unlimited)",
        ),
        ("initdb: error: first\nFATAL: second\nremoving\n", "error: first"),
        ("starting\nit ends\n", "it ends"),
        ("", "it said nothing"),
    ],
)
def test_an_engine_that_ended_is_told_of_by_its_first_complaint(
    tmp_path: Path, log: str, reason: str
) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(OTHER_START + log.encode())
    assert why_ended(path, len(OTHER_START)) == reason


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("thread 'main' panicked at x.rs:1:\nno text\nnote: run with `RUST_BACKTRACE=1`\n", "no text"),
        (
            r"[error] Traceback (most recent call last):\n  File \"x\"\nOSError: gone\n service=fleet"
            "\n[error] Application startup failed. Exiting. service=fleet\n",
            "OSError: gone",
        ),
        ("\n \n", "it said nothing"),
    ],
)
def test_the_last_line_of_a_log_is_one_that_says_why(tmp_path: Path, log: str, reason: str) -> None:
    path = tmp_path / "process.log"
    path.write_text(log)
    assert child_processes.last_line(path) == reason


def test_an_engine_gets_no_variable_that_means_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSSLMODE", "LAUNCHDAY_FLEET_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("NO_TEXT", "\udcff")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/lib")

    given = engine_environment()

    assert given["LD_LIBRARY_PATH"] == "/lib"
    assert not {"PGSSLMODE", "LAUNCHDAY_FLEET_KEY", "NO_TEXT"} & given.keys()
