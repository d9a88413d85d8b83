"""What is measured after a failover: how long until each thing works again, and what came back wrong."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from launchday import child_processes
from launchday.engines.base import free_port
from loadtest.bench.harness.reliable_lane import World, answered
from loadtest.bench.resilience.failover import network
from loadtest.bench.resilience.failover.world import CRATE, PASSWORD
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaRefusedError, Session

CUTS = (("store",), ("cache",), ("store", "cache", "bus"))
HOLDERS = (
    ("meta_service", "store"),
    ("meta_service", "cache"),
    ("meta_service.writebehind", "store"),
    ("meta_service.writebehind", "cache"),
)
MAX_OF_A_HOLDER = 3  # connections of one process to one engine that die, one after the other
SKIN = "scout"  # free, and not what players wear at first
OLDER_S = 2.0
HEALED_S = 5.0  # after a player's first touch
FAR_MS = 300.0
FAR_SETTLE_S = 4.0  # a service that has been up for so long has its connections
FAR_PURCHASES = 5


async def purchase_s(world: World, player: Session) -> float:
    """Seconds until a purchase, asked for again and again under one key, is answered with 200."""
    key = str(uuid4())

    async def buy() -> bool:
        return bool(await world.client.purchase(player.session_token, key, CRATE.item_id))

    return await answered(buy)


async def login_s(world: World) -> float:
    """Seconds until a new device and a name with its password are let in, whichever takes longer."""
    device = str(uuid4())

    async def by_device() -> bool:
        return bool(await world.client.login_device(device))

    async def by_password() -> bool:
        return bool(await world.client.login_password("failover", PASSWORD))

    return max(await asyncio.gather(answered(by_device), answered(by_password)))


async def writebehind_s(world: World, player: Session) -> float:
    """Seconds until a loadout that is changed now is in the store."""
    version = 0

    async def stored() -> bool:
        nonlocal version
        if not version:
            version = (await world.client.set_loadout(player.session_token, SKIN)).version
        async with world.in_store() as store:
            found = await store.fetchval(
                "SELECT version FROM loadouts WHERE player_id = $1", player.player_id
            )
            return bool((found or 0) >= version)

    return await answered(stored)


async def relayed_s(world: World) -> float:
    """Seconds until rewards has sent what was stored before to the broker."""

    async def sent() -> bool:
        async with world.in_store() as store:
            return not await store.fetchval("SELECT count(*) FROM purchase_outbox")

    return await answered(sent)


async def dropped(world: World) -> dict[str, Any]:
    """Drop every connection to one engine after the other, then to all; the longest times count."""
    found: dict[str, dict[str, float]] = {}
    for roles in CUTS:
        await world.warm()
        cut = sum(
            network.drop(network.clients_of(world.engines[role].port), world.engines[role].port)
            for role in roles
        )
        purchase, login, writebehind = await asyncio.gather(
            purchase_s(world, world.players[1]), login_s(world), writebehind_s(world, world.players[2])
        )
        found["+".join(roles)] = {
            "connections": cut,
            "purchase_s": round(purchase, 2),
            "login_s": round(login, 2),
            "writebehind_s": round(writebehind, 2),
            "relayed_s": round(await relayed_s(world), 2),
        }
        network.forget_drops()
    longest = {
        name: max(times[name] for times in found.values())
        for name in ("purchase_s", "login_s", "writebehind_s")
    }
    return {**longest, "dropped": found}


async def one(world: World) -> dict[str, Any]:
    """Let one connection after the other die, and use every other one of its pool beside it."""
    found: dict[str, float] = {}
    for module, role in HOLDERS:
        await world.warm()
        port = world.engines[role].port
        for client in network.clients_of(port, world.processes[module].pid)[:MAX_OF_A_HOLDER]:
            network.drop([client], port)
            times = await asyncio.gather(
                writebehind_s(world, world.players[0]),
                *(purchase_s(world, player) for player in world.players),
            )
            name = f"{module} to {role}"
            found[name] = round(max(found.get(name, 0.0), *times), 2)
            network.forget_drops()
            await world.warm()
    return {"one_connection_s": max(found.values(), default=None), "one": found}


async def older(world: World) -> dict[str, Any]:
    """Replace the cache by an older copy; look at every player 5 s after their first touch."""
    await world.warm()
    copy = world.folder / "older"
    await asyncio.to_thread(world.stop_cache, copy)
    began_s = time.monotonic()
    stay, leave = world.players[::2], world.players[1::2]
    expected: dict[int, tuple[str, int]] = {}
    renewed: list[Session] = []
    for player in stay:
        await world.client.set_loadout(player.session_token, SKIN)
        grant = await world.client.grant(f"newer-{uuid4()}", player.player_id, "coins", 7, "since the copy")
        session = await world.client.refresh(player.refresh_token)
        renewed.append(session)
        expected[player.player_id] = (SKIN, grant.balance)
    for player in leave:
        await world.client.log_out(player.session_token)
    await world.drained()
    await asyncio.sleep(max(0.0, OLDER_S - (time.monotonic() - began_s)))
    await asyncio.to_thread(world.replace_cache, copy)
    await answered(world.client.counters, lambda _: True)
    await asyncio.gather(*(_alive(world, player) for player in (*renewed, *leave)))
    await asyncio.sleep(HEALED_S)
    stale = 0
    for session in renewed:
        profile = await world.client.profile(session.session_token)
        stale += (profile.skin, profile.balances.get("coins")) != expected[session.player_id]
    alive = [player for player in leave if await _alive(world, player)]
    kept = [session for session in renewed if await _exchanged(world, session)]
    await world.drained()
    async with world.in_store() as store:
        live = await store.fetchval(
            "SELECT count(*) FROM sessions WHERE state = 'live' AND player_id = ANY($1::bigint[])",
            [player.player_id for player in leave],
        )
    return {
        "stale_profiles": stale,
        "revoked_alive": len(alive) + live,
        "logged_out_by_it": len(renewed) - len(kept),
    }


async def far(world: World) -> dict[str, Any]:
    """Buy through a meta service that is 300 ms from the store."""
    port = free_port()
    store = urlsplit(world.settings.store_url)
    target = f"{store.hostname}:{store.port}"
    proxy = child_processes.spawn(
        [sys.executable, "-m", "loadtest.flood.injection.latency_proxy", str(port), target],
        log=world.folder / "proxy.log",
    )
    world.processes["proxy"] = proxy
    await answered(lambda: _listens(port))
    loop = asyncio.get_running_loop()
    sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port))
    sender.sendto(str(FAR_MS).encode())
    sender.close()
    user = store.netloc.rpartition("@")[0]
    url = urlunsplit(store._replace(netloc=f"{user}@127.0.0.1:{port}"))
    settings = world.settings.model_copy(update={"store_url": url, "meta_port": free_port()})
    world.start("meta_service", settings)
    async with MetaClient(
        f"http://127.0.0.1:{settings.meta_port}", world.client.token, retry=False
    ) as client:
        await answered(client.counters, lambda _: True)
        await asyncio.sleep(FAR_SETTLE_S)
        player = await client.login_device(f"far-{uuid4()}")
        await client.grant(f"far-{player.player_id}", player.player_id, "coins", 100, "to begin with")
        times = []
        for _ in range(FAR_PURCHASES):
            began_s = time.monotonic()
            await client.purchase(player.session_token, str(uuid4()), CRATE.item_id)
            times.append(time.monotonic() - began_s)
    return {"far_purchase_s": round(max(times), 3), "far": [round(time_s, 3) for time_s in times]}


async def measure(world: World, kinds: Iterable[str]) -> dict[str, Any]:
    """Measure the kinds, in their order."""
    figures: dict[str, Any] = {}
    for kind in kinds:
        match kind:
            case "dropped":
                figures |= await dropped(world)
            case "one":
                figures |= await one(world)
            case "older":
                figures |= await older(world)
            case "far":
                figures |= await far(world)
            case _:
                raise BenchError(f"failover has no {kind}")
    return figures


async def _alive(world: World, player: Session) -> bool:
    """Whether a session still opens the profile, or its refresh token is taken."""
    for call in (
        lambda: world.client.profile(player.session_token),
        lambda: world.client.refresh(player.refresh_token),
    ):
        try:
            await call()
        except MetaRefusedError:
            continue
        return True
    return False


async def _exchanged(world: World, session: Session) -> bool:
    try:
        await world.client.refresh(session.refresh_token)
    except MetaRefusedError:
        return False
    return True


async def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False
