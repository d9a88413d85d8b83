"""The kinds of requests that ``double_load`` offers: what each looks like on the wire, and who makes them."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg

from launchday.identity import signer_of
from loadtest.bench.resilience.double_load.pinned_service import Pinned
from meta_service.client import MetaClient, Session
from meta_service.store import catalogue
from meta_service.store.catalogue import Item

PLAYERS = 200
NAMED = 60  # players with a password: each takes a hash to set
DEVICES = 2000  # that have an account
AT_ONCE = 16
PASSWORD = "correct horse battery staple"
CRATE = Item(
    item_id="bench-crate", kind="consumable", title="Crate", currency="coins", price=1, max_owned=10**9
)
REGION_MS = {"west-europe": 21.5, "east-us": 96.0, "japan-east": 210.0, "brazil-south": 180.5}

MakeRequests = Callable[[int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        name: as in the figures.
        least_goodput: of twice its capacity.
        first_rate: a second, with which the search for its capacity begins.
        seconds: how long one rate is tried: long enough for a hundred answers.
    """

    name: str
    least_goodput: float
    first_rate: float
    seconds: float


READ = Kind("read", 0.9, 1000.0, 2.5)
DEVICE_LOGIN = Kind("device_login", 0.9, 700.0, 2.5)
PASSWORD_LOGIN = Kind("password_login", 0.9, 30.0, 6.0)
PURCHASE = Kind("purchase", 0.85, 250.0, 3.0)
TICKET = Kind("ticket", 0.8, 1800.0, 2.5)
KINDS = (READ, DEVICE_LOGIN, PASSWORD_LOGIN, PURCHASE, TICKET)


def message(line: str, body: Any = None, *headers: str) -> bytes:
    """Return a request as our clients send it: with a deadline, and a body as JSON where there is one."""
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{line} HTTP/1.1", "host: 127.0.0.1", "accept: */*", "launchday-timeout-ms: 5000", *headers]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def meta_requests(running: Pinned) -> dict[str, MakeRequests]:
    """Make the players of the meta service's kinds; return what makes each kind's requests."""
    return asyncio.run(_prepared(running))


def ticket_requests(running: Pinned) -> dict[str, MakeRequests]:
    """Return what makes tickets: each is a player's first."""
    signer = signer_of(running.settings, "loadtest")
    players = itertools.count(1)

    def tickets(count: int) -> list[bytes]:
        now = time.time()
        return [
            message(
                "POST /v1/tickets",
                {
                    "mode": "battle_royale",
                    "latencies_ms": REGION_MS,
                    "platform": "pc",
                    "cross_play": True,
                    "client_key": f"bench-{player:012d}",
                },
                f"authorization: Bearer {signer.player_token(player, now, 3600.0)}",
            )
            for player in itertools.islice(players, count)
        ]

    return {TICKET.name: tickets}


def login(name: str, password: str = PASSWORD, *headers: str) -> bytes:
    """Return a login by name and password."""
    return message("POST /v1/login/password", {"name": name, "password": password}, *headers)


def named(number: int) -> str:
    """Return the name of the n-th player who has a password."""
    return f"bench.player.{number % NAMED}"


async def _prepared(running: Pinned) -> dict[str, MakeRequests]:
    token = signer_of(running.settings, "loadtest").service_token("bench", time.time())
    async with MetaClient(f"http://127.0.0.1:{running.port}", token, patience_s=30.0) as client:
        sessions = await _in_turns([client.login_device(f"bench-player-{n}") for n in range(PLAYERS)])
        await _in_turns([client.login_device(f"bench-device-{n}") for n in range(DEVICES)])
        store = await asyncpg.connect(running.settings.store_url)
        await catalogue.put(store, [CRATE])
        await store.close()
        # The last ones have names: a login by password ends the session that the account had.
        buyers, owners = sessions[:-NAMED], sessions[-NAMED:]
        await _in_turns(
            [
                client.grant(f"bench-{each.player_id}", each.player_id, "coins", 10**9, "bench")
                for each in buyers
            ]
        )
        for number, session in enumerate(owners):
            await client.set_password(session.session_token, named(number), PASSWORD)
    bearers = [f"authorization: Bearer {session.session_token}" for session in buyers]
    order = {"item_id": CRATE.item_id, "quantity": 1, "unit_price": None}
    profiles = [message("GET /v1/profile", None, bearer) for bearer in bearers]
    devices = [message("POST /v1/login/device", {"device_id": f"bench-device-{n}"}) for n in range(DEVICES)]
    names = [login(named(number)) for number in range(NAMED)]
    return {
        READ.name: lambda count: profiles,
        DEVICE_LOGIN.name: lambda count: devices,
        PASSWORD_LOGIN.name: lambda count: names,
        PURCHASE.name: lambda count: [
            message(
                "POST /v1/store/purchases",
                order,
                bearers[number % len(bearers)],
                f"idempotency-key: {uuid4()}",
            )
            for number in range(count)
        ],
    }


async def _in_turns(calls: list[Any]) -> list[Session]:
    """Make calls, a few at once: the service's own limits hold for us too."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def make(call: Any) -> Any:
        async with turn:
            return await call

    return list(await asyncio.gather(*map(make, calls)))
