"""A whole backend on free ports, flooded as a user does it: by the command line of the wheel, from a folder
without the repository.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from launchday.engines import free_port
from launchday.launcher.services import SERVICES
from launchday.settings import env_name

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a run that shares no port and no folder with another."""
    game_ports = free_port()
    own = {env_name(s.port_setting): str(free_port()) for s in SERVICES if s.port_setting}
    own[env_name("state_dir")] = str(tmp_path / "state")
    own[env_name("game_port_min")] = str(game_ports)
    own[env_name("game_port_max")] = str(game_ports + 99)
    return {**os.environ, **own}


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path, wheel: Path) -> Iterator[Start]:
    """Start ``launchday`` with some arguments; whatever it leaves behind is ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def launch(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [wheel, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        for child in family(process):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                child.kill()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Every living process that ``process`` has started, directly or not."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
