"""How many players a matchmaker answers by its descriptors: all that fit wait, and every other is told so.

A real matchmaker with a real cache is started with the usual soft limit and a higher hard one. Players open
a ticket each and follow it on the same connection, first as many as the figure says, then until they are
refused; then it is asked what a player who comes now is told, how fast, and how it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import resource
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import uvloop
from pydantic import SecretStr

from launchday import child_processes, startup
from launchday.engines import EngineError, Valkey, free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError, CaseUnavailableError

SOFT, HARD = 1_024, 8_192
PLAYERS = 5_000
AT_ONCE = 100  # players who come at the same time, and the most that are refused at the same time
BEYOND = 200  # players who come when there is no room
ANSWER_S = 0.1
START_S, ALL_S = 30.0, 40.0
GENERATOR_SPARE = 200
MODE = "battle_royale"
TOLD = re.compile("as many connections as the descriptors allow")


class Player(asyncio.Protocol):
    """A connection that opens a ticket and follows it.

    Attributes:
        status: of the ticket's creation; 0 before it is known, or where the connection was cut off.
        waits: the ticket's stream has begun, and goes on.
        answered_s: from the connection's beginning to that status.
    """

    def __init__(self, token: str, number: int, regions: tuple[str, ...]) -> None:
        self._token = token.encode()
        self._number = number
        self._regions = regions
        self._got = bytearray()
        self._began = time.perf_counter()
        self.status = 0
        self.answered_s = 0.0
        self.waits = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a ticket."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's own
        body = json.dumps(
            {
                "mode": MODE,
                "latencies_ms": dict.fromkeys(self._regions, 20.0),
                "client_key": f"descriptors-{self._number:012d}",
            }
        ).encode()
        self.transport.write(
            b"POST /v1/tickets HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (self._token, len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        """Take the answer, then the beginning of the stream."""
        self._got += data
        if not self.status:
            end = self._got.find(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", bytes(self._got[: end + 2]), re.IGNORECASE)
            if end < 0 or length is None or len(self._got) < end + 4 + int(length[1]):
                return
            self.status = int(self._got[9:12])
            self.answered_s = time.perf_counter() - self._began
            if self.status != 201:
                self._finish()
                return
            ticket = json.loads(self._got[end + 4 :])["ticket_id"].encode()
            self._got.clear()
            self.transport.write(
                b"GET /v1/tickets/%b/events HTTP/1.1\r\nhost: m\r\nauthorization: Bearer %b\r\n\r\n"
                % (ticket, self._token)
            )
        elif self._got.startswith(b"HTTP/1.1 200") and not self.waits:
            self.waits = True  # the next event is the ticket's end
            self._finish()

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio."""
        self.waits = False
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def waiting_players(options: Options, soft: int = SOFT, hard: int = HARD, players: int = PLAYERS) -> Found:
    """So many players wait at a matchmaker with these limits; further ones are told that there is no room."""
    own = startup.descriptors().hard
    if own < hard + GENERATOR_SPARE:
        raise CaseUnavailableError(
            f"this case needs {hard + GENERATOR_SPARE:,} descriptors for its players: raise ulimit -Hn"
        )
    startup.raise_limits()
    with _matchmaker(soft, hard) as (settings, log):
        wanted = min(options.players or players, players)
        found: Found = uvloop.run(_play(settings, log, wanted, soft, hard))
        return found


async def _play(settings: Settings, log: Path, players: int, soft: int, hard: int) -> Found:
    signer = signer_of(settings, "loadtest")
    made: list[Player] = []
    health_s: list[float] = []

    async def come(count: int) -> list[Player]:
        fresh = [
            Player(signer.player_token(number, time.time(), 3_600.0), number, settings.region_names)
            for number in range(len(made) + 1, len(made) + 1 + count)
        ]
        made.extend(fresh)
        loop = asyncio.get_running_loop()
        opened = await asyncio.gather(
            *(
                loop.create_connection(
                    functools.partial(_itself, each), "127.0.0.1", settings.matchmaker_port
                )
                for each in fresh
            ),
            return_exceptions=True,
        )
        for each, made_it in zip(fresh, opened, strict=True):
            if isinstance(made_it, OSError):
                each.connection_lost(made_it)
        await asyncio.wait([each.done for each in fresh], timeout=ALL_S)
        return fresh

    while len(made) < players:
        await come(min(AT_ONCE, players - len(made)))
    waiting = sum(each.waits for each in made)
    health_s.append(await _health_s(settings))
    while made[-1].waits and len(made) < hard:
        await come(AT_ONCE)
        health_s.append(await _health_s(settings))
    refused: list[Player] = []
    while len(refused) < BEYOND:
        refused += await come(AT_ONCE)
    told = sum(each.status == 503 for each in refused)
    slowest_s = 0.0
    for _ in range(AT_ONCE):  # one after the other, as whoever comes now
        (late,) = await come(1)
        told += late.status == 503
        slowest_s = max(slowest_s, late.answered_s)
        health_s.append(await _health_s(settings))
    most = sum(each.waits for each in made)
    for each in made:
        each.transport.abort()
    await asyncio.sleep(0.5)  # for the service to see that they have left
    (again,) = await come(1)
    answered_again = again.waits
    again.transport.abort()
    said = await asyncio.to_thread(log.read_text)
    lines = sum(bool(TOLD.search(line)) for line in said.splitlines())
    figures = {
        "soft_limit": soft,
        "hard_limit": hard,
        "players": players,
        "waiting": waiting,
        "waiting_most": most,
        "beyond": BEYOND + AT_ONCE,
        "told_503": told,
        "slowest_503_ms": round(slowest_s * 1e3, 1),
        "slowest_health_ms": round(max(health_s) * 1e3, 1),
        "log_lines": lines,
        "answered_after_they_left": answered_again,
    }
    well = (
        waiting == players
        and told == BEYOND + AT_ONCE
        and max(slowest_s, max(health_s)) <= ANSWER_S
        and lines == 1
        and answered_again
    )
    return Found(
        well,
        f"{waiting:,} of {players:,} players wait, {most:,} at most; {told} of {BEYOND + AT_ONCE} beyond are "
        f"told 503, one by one within {figures['slowest_503_ms']} ms; /healthz answers within "
        f"{figures['slowest_health_ms']} ms",
        figures,
    )


def _itself(player: Player) -> Player:
    return player


async def _health_s(settings: Settings) -> float:
    url = f"http://127.0.0.1:{settings.matchmaker_port}/healthz"

    def ask() -> float:
        began = time.perf_counter()
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            answer.read()
        return time.perf_counter() - began

    return await asyncio.to_thread(ask)


@contextlib.contextmanager
def _matchmaker(soft: int, hard: int) -> Iterator[tuple[Settings, Path]]:
    folder = Path("matchmaker").absolute()
    stub_port, port = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        cache = Valkey(folder / "valkey", folder / "valkey.log")
        stack.callback(cache.stop)
        try:
            cache.start()
        except EngineError as error:
            raise BenchError(str(error)) from error
        settings = Settings(
            state_dir=folder,
            cache_url=cache.address,
            meta_url=f"http://127.0.0.1:{stub_port}",
            matchmaker_port=port,
            identity_secret=SecretStr("bench-" + "0" * 32),
            fleet_key=SecretStr("ab" * 32),
            log_level="warning",
        )
        env = {**os.environ, **environment(settings)}
        log = folder / "matchmaker.log"
        limits = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for module, argument, said, prepare in (
            ("loadtest.bench.matchmaker.stub_services", str(stub_port), folder / "stub.log", None),
            ("matchmaker", "", log, limits),
        ):
            command = [sys.executable, "-m", module, *filter(None, [argument])]
            process = child_processes.spawn(command, log=said, env=env, prepare=prepare)
            stack.callback(child_processes.stop, process, 8.0)
        deadline = time.monotonic() + START_S
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the matchmaker did not start: {child_processes.last_line(log)}")
            time.sleep(0.05)
        yield settings, log


def _is_ready(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1.0),
    ):
        return True
    return False


CASES: tuple[Case, ...] = (
    Case("waiting_players", waiting_players, bound_s=90.0),
    *(
        Case(
            f"waiting_players_{hard}",
            functools.partial(waiting_players, soft=min(hard, 256), hard=hard, players=players),
        )
        for hard, players in ((256, 100), (1_024, 600))
    ),
)
