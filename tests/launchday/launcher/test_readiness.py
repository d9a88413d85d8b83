"""A start waits until every process is ready and the first game servers are warm: it says for what, and not
for ever.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from launchday.engines import free_port
from launchday.launcher import readiness
from launchday.launcher.backend import Backend, BackendError
from launchday.launcher.children import ReadyAnswer, ServiceChild, ask_ready
from launchday.launcher.readiness import await_ready, await_servers
from launchday.settings import Settings

NOT_IN_OFFICE = {"cache": "ok", "offices": "duel has no leader"}
NO_SERVER = {"disk": "ok", "warm servers": "no server is ready in west-europe (1 start)"}
IN_ORDER: dict[str, str] = {"cache": "ok"}

Answers = list[tuple[int, dict[str, str]]]


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """A process whose ``/readyz`` gives these answers, the last one again and again; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, parts = answers.pop(0) if len(answers) > 1 else answers[0]
            body = json.dumps({"status": "any", "parts": parts}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/readyz"
        finally:
            server.shutdown()
            serving.join()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The start's monotonic seconds: three pass between two questions, and nothing is compiled."""
    now = [0.0]

    def pass_time(_: float) -> None:
        now[0] += 3.0

    monkeypatch.setattr(readiness, "time", _Time(now, pass_time))
    monkeypatch.setattr("launchday.launcher.readiness.kernel_cache.functions_kept", int)
    monkeypatch.setattr("launchday.launcher.readiness.kernel_cache.parts_being_compiled", list)
    return now


class _Time:
    def __init__(self, now: list[float], sleep: object) -> None:
        self._now = now
        self.sleep = sleep

    def monotonic(self) -> float:
        return self._now[0]


def child(name: str, url: str, folder: Path) -> ServiceChild:
    made = ServiceChild(name, ["true"], folder / f"{name}.log", {}, url)
    made.log.write_text("leads nothing\n")
    return made


def test_a_director_is_waited_for_until_its_queues_are_served_and_that_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    with answering([(503, NOT_IN_OFFICE)] * 4 + [(200, IN_ORDER)]) as url:
        await_ready([child("director", url, tmp_path)], told.append, lambda: None)
    waiting, ready = told
    assert waiting == "waiting for the director: offices: duel has no leader (for 114 s more at most)"
    assert ready.startswith("director: ready on port")


def test_a_director_that_never_takes_office_ends_the_start_and_is_named_with_what_it_lacks(
    tmp_path: Path, clock: list[float]
) -> None:
    backend = Backend(Settings(state_dir=tmp_path))
    with answering([(503, NOT_IN_OFFICE)]) as url:
        backend._services["director"] = child("director", url, tmp_path)
        with pytest.raises(BackendError, match="director was not ready") as late:
            backend._await_ready(lambda _: None)
    for words in ("duel has no leader", "'leads nothing'", "director.log"):
        assert words in str(late.value)
    assert clock[0] == pytest.approx(readiness.READY_TIMEOUT_S, abs=6.0)


def test_kernels_that_are_compiled_for_ever_end_the_start_too(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "launchday.launcher.readiness.kernel_cache.parts_being_compiled", lambda: ["matchmaker"]
    )
    told: list[str] = []
    late = child("director", f"http://127.0.0.1:{free_port()}/readyz", tmp_path)
    with pytest.raises(readiness.NotReadyError, match="it does not answer yet"):
        await_ready([late], told.append, lambda: None)
    assert told == ["waiting for kernels that are being compiled: matchmaker (for 1800 s at most)"]
    assert clock[0] == pytest.approx(readiness.COMPILING_TIMEOUT_S, abs=6.0)


def test_the_first_warm_servers_are_waited_for(tmp_path: Path) -> None:
    told: list[str] = []
    with answering([(200, NO_SERVER)] * 4 + [(200, IN_ORDER)]) as url:
        assert await_servers(child("fleet", url, tmp_path), told.append, lambda: None)
    assert told == [f"waiting for the fleet: {NO_SERVER['warm servers']} (for 54 s more at most)"]


def test_a_backend_whose_game_servers_do_not_start_goes_on_and_says_so(
    tmp_path: Path, clock: list[float]
) -> None:
    told: list[str] = []
    with answering([(200, NO_SERVER)]) as url:
        assert not await_servers(child("fleet", url, tmp_path), told.append, lambda: None)
    assert told[-1].startswith(f"fleet: {NO_SERVER['warm servers']} after 63 s; going on")
    assert clock[0] == pytest.approx(readiness.SERVERS_TIMEOUT_S, abs=6.0)


def test_a_process_without_a_port_is_said_not_to_be_asked(tmp_path: Path) -> None:
    told: list[str] = []
    backend = Backend(Settings(state_dir=tmp_path, director_port=0))
    backend._services["director"] = child("director", "", tmp_path)
    backend._await_ready(told.append)
    assert told == ["director: runs, and is not asked whether it is ready: LAUNCHDAY_DIRECTOR_PORT is 0"]


def test_what_nobody_of_ours_answers_is_read_as_it_is() -> None:
    assert ask_ready(f"http://127.0.0.1:{free_port()}/readyz") == ReadyAnswer(False)
    with answering([(200, [1])]) as url:  # type: ignore[list-item]
        assert ask_ready(url) == ReadyAnswer(True)
    with answering([(503, NOT_IN_OFFICE)]) as url:
        assert ask_ready(url) == ReadyAnswer(False, {"offices": "duel has no leader"})
