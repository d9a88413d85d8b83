"""A game server without a game: it speaks to its sidecar as the real one does, and ends its match as the
match's mode says.

Modes: ``brief`` plays a moment first; ``mute`` says nothing of its match; ``play`` reports, and shuts down;
``stay`` keeps its match; ``crash`` exits with an error; ``hang`` stops beating; ``stubborn`` shuts down but
does not leave at SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from typing import Any

from dedicated_server.agones_sdk import MATCH_ANNOTATION, AgonesSdk
from launchday.clock import SystemClock

HEARTBEAT_S = 0.1


def warm_up() -> None:
    if os.environ.get("STAND_IN") == "cannot warm up":
        raise RuntimeError("a library is missing")
    if os.environ.get("STAND_IN") == "warms up for ever":
        print("warming", flush=True)
        time.sleep(3600)


def main() -> int:
    if os.environ.get("STAND_IN") == "ends at once":
        return 3
    return asyncio.run(_serve(AgonesSdk(int(os.environ["AGONES_SDK_HTTP_PORT"]), clock=SystemClock())))


async def _serve(sdk: AgonesSdk) -> int:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    record = await sdk.gameserver()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as players:
        players.bind((record.addresses.address, record.port))
        print("listening", record.name, flush=True)
        if os.environ.get("STAND_IN") == "never ready":
            await stop.wait()
        await sdk.ready()
        beating = asyncio.create_task(_beat(sdk))
        life = asyncio.create_task(_live(sdk, beating))
        await asyncio.wait((life, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        await stop.wait()
    return 0


async def _beat(sdk: AgonesSdk) -> None:
    while True:
        await sdk.health()
        await asyncio.sleep(HEARTBEAT_S)


async def _live(sdk: AgonesSdk, beating: asyncio.Task[None]) -> None:
    async for record in sdk.watch():
        if record.state == "Allocated":
            await _play(sdk, json.loads(record.annotations[MATCH_ANNOTATION]), beating)
            return


async def _play(sdk: AgonesSdk, match: dict[str, Any], beating: asyncio.Task[None]) -> None:
    if match["mode"] == "mute":
        return
    report = {
        "match_id": match["match_id"],
        "phase": "playing",
        "kills": 2,
        "deaths": 2,
        "players_joined": 3,
    }
    await sdk.annotate("launchday-report", json.dumps(report))
    print("playing", match["match_id"], flush=True)
    match match["mode"]:
        case "stay":
            return
        case "brief":
            await asyncio.sleep(0.2)
        case "crash":
            sys.stdout.flush()
            os._exit(7)
        case "hang":
            beating.cancel()
            time.sleep(3600)  # noqa: ASYNC251  it hangs: that is what the test wants
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    final = {**report, "phase": "over", "outcome": "ended", "kills": 5, "deaths": 5}
    await sdk.annotate("launchday-report", json.dumps(final))
    await sdk.shutdown()
