"""``handshakes``: what 256 answered challenges in one tick cost it, of one player and of as many as can.

In one process and without a network: the compiled stage that opens a batch, and real clients' responses. The
limits are those of the tenth percentile: what the code costs, and not what else the machine did meanwhile.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.native.mmsg import ADDRESS_BYTES, sockaddr
from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_REQUESTING
from dedicated_server.protocol.datagrams import REQUESTS_PER_BATCH, ROW_BYTES
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from loadtest.bench.harness.statistics import percentiles
from loadtest.errors import BenchError

ANSWERED: Final = REQUESTS_PER_BATCH  # challenges: as many as a server gives in a tick
LIMITS_US: Final = {100: 100.0, 1_600: 500.0}  # by players of the match
BATCHES: Final = 60
SLOT_FREE_S: Final = 1.5  # between two batches: every slot may begin a session again
UNBOUNDED: Final = "unbounded"  # a fault: a tick begins as many sessions as are asked for
HOST: Final = "127.0.0.1"
PORT: Final = 7_001
FLEET_KEY: Final = bytes(32)
MATCH_ID: Final = UUID(int=1)
NOW_S: Final = 1_800_000_000.0


class Handshakes:
    """A server's wire and its clients, who all have asked and been challenged.

    Args:
        players: of the match.
        asking: how many of them ask.
        fault: planted; "" for none.
    """

    def __init__(self, players: int, asking: int, fault: str = "") -> None:
        self._asking = asking
        self._wire = ServerWire(
            fleet_key=FLEET_KEY,
            match_id=MATCH_ID,
            player_ids=range(1, players + 1),
            host=HOST,
            port=PORT,
            secret=bytes(SECRET_BYTES),
        )
        if fault == UNBOUNDED:
            self._wire.state.identity["responses_per_batch"] = ANSWERED
        self._clients = ClientSessions(asking, 1)
        for entity in range(asking):
            self._clients.add(_token(entity))
        self._now_s = NOW_S
        self._batch = np.zeros((ANSWERED, ROW_BYTES), np.uint8)
        self._lengths = np.zeros(ANSWERED, np.int32)
        self._senders = np.zeros((ANSWERED, ADDRESS_BYTES), np.uint8)
        for row in range(ANSWERED):
            self._senders[row] = sockaddr(HOST, 40_000 + row % asking)

    def answered_us(self) -> float:
        """Let the clients ask and answer, and return the time that taking in their answers took."""
        self._now_s += SLOT_FREE_S
        requests = self._clients.sessions["request"]
        self._fill(datagrams.REQUEST, requests)
        self._open()
        challenged = self._wire.out_len[:ANSWERED].copy(), self._wire.out_buf[:ANSWERED].copy()
        responses = self._responses(*challenged)
        self._fill(datagrams.RESPONSE, responses)
        begun_ns = time.perf_counter_ns()
        self._open()
        return (time.perf_counter_ns() - begun_ns) / 1e3

    @property
    def sessions(self) -> int:
        """How many sessions have begun."""
        counted = self._wire.counters_by_name()
        return counted["connects"] + counted["reconnects"]

    def _responses(
        self, lengths: npt.NDArray[np.int32], challenges: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        sessions = self._clients.sessions
        made = np.zeros((ANSWERED, datagrams.RESPONSE_BYTES), np.uint8)
        for row in range(ANSWERED):
            client = row % self._asking
            sessions["state"][client] = CLIENT_REQUESTING
            client_receive(self._clients.state, client, challenges[row], int(lengths[row]), self._now_s)
            made[row] = sessions["response"][client]
        return made

    def _fill(self, kind: int, rows: npt.NDArray[np.uint8]) -> None:
        count, length = rows.shape
        self._batch[:, :length] = rows[np.arange(ANSWERED) % count]
        self._batch[:, 0] = kind
        self._lengths[:] = length

    def _open(self) -> None:
        self._wire.open_batch(self._batch, self._lengths, self._senders, ANSWERED, self._now_s, 1)


def run(fault: str = "") -> dict[str, Any]:
    """Measure matches of both sizes, and return what is printed; ``fault`` is planted. Raises BenchError."""
    took_us: dict[str, dict[str, Any]] = {}
    missed = []
    for players, limit_us in LIMITS_US.items():
        for asking in (1, min(players, ANSWERED)):
            handshakes = Handshakes(players, asking, fault)
            handshakes.answered_us()  # loads the kernels
            before = handshakes.sessions
            times_us = [handshakes.answered_us() for _ in range(BATCHES)]
            begun = (handshakes.sessions - before) / BATCHES
            if not begun:
                raise BenchError(f"no session began of {asking} players who answered")
            name = f"{players} players, {asking} answering"
            took_us[name] = {**percentiles(times_us, 10, 50, 100), "sessions": round(begun, 1)}
            if took_us[name]["p10"] > limit_us:
                missed.append(f"{name}: p10 {took_us[name]['p10']} µs, ≤ {limit_us:g}")
    return {
        "bench": "handshakes",
        "answered": ANSWERED,
        "us": took_us,
        "limits": {f"{players} players": f"p10 ≤ {limit:g} µs" for players, limit in LIMITS_US.items()},
        "missed": missed,
        "passed": not missed,
    }


def _token(entity: int) -> bytes:
    return connect_token.seal(
        FLEET_KEY,
        match_id=MATCH_ID,
        player_id=entity + 1,
        entity=entity,
        team=entity,
        address=HOST,
        port=PORT,
        issued_at=NOW_S,
        expires_at=NOW_S + 3_600.0,
        random=secrets.token_bytes(connect_token.RANDOM_BYTES),
    )
