"""A game server that is not ours: it joins the fleet with Agones' SDK, a connect token and two HTTP calls.

It imports nothing of launchday, but aiohttp, aiokafka, PyJWT and PyNaCl, as yours would in its own language.
Its game is none: who sends a datagram gets it back. docs/own-game-server.md goes through it step by step.
"""

import asyncio
import contextlib
import hashlib
import importlib
import json
import os
import signal
import struct
import time
import uuid
from typing import Any

import aiohttp
import jwt
import nacl.bindings
from aiokafka import AIOKafkaProducer
from nacl.exceptions import CryptoError

SDK = f"http://127.0.0.1:{os.environ.get('AGONES_SDK_HTTP_PORT', '9358')}"
META = os.environ.get("LAUNCHDAY_META_URL", "http://127.0.0.1:8101")
COME_S, HEARTBEAT_S, PATIENCE_S = 10.0, 2.0, 30.0
REQUEST, WELCOME, SAID, OVER, LEAVE = range(5)  # first byte of a datagram of our lane
TOKEN, NONCE_BYTES, TAG_BYTES = struct.Struct("<8sBQ"), 24, 16  # PROTOCOL.md, "Connect token"
PRIVATE = struct.Struct("<16sqHH16sHQ32s32s")
DIRECTOR = (0, 0xFFFF)  # player and entity in the token with which a director asks whether a server answers


class Lane(asyncio.DatagramProtocol):
    """The players' lane: lets in who has a token for this match. Yours has a game behind it."""

    def __init__(self) -> None:
        self.match: dict[str, Any] | None = None
        self.players: dict[Any, int] = {}  # address → player
        self.said: dict[int, int] = {}  # player → datagrams: the score of this game
        self.all_here = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """Remember where answers go."""
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Welcome a token, repeat what a player says, forget who leaves; anything else has no answer."""
        if self.match is None or not data:
            return
        if data[0] == REQUEST and (seat := self.read_token(data[1:])) is not None:
            if seat != DIRECTOR:
                self.players[address] = seat[0]
                self.said.setdefault(seat[0], 0)
            self.transport.sendto(bytes([WELCOME]), address)
            if len(self.said) == len(self.match["fences"]):
                self.all_here.set()
        elif data[0] == SAID and (player := self.players.get(address)) is not None:
            self.said[player] += 1
            self.transport.sendto(data, address)
        elif data[0] == LEAVE:
            self.players.pop(address, None)

    def read_token(self, token: bytes) -> tuple[int, int] | None:
        """Player and entity of a token that the fleet's key has sealed, for this match, and in time."""
        assert self.match is not None
        begin = TOKEN.size + NONCE_BYTES
        sealed = token[begin : begin + PRIVATE.size + TAG_BYTES]
        try:
            _, _, expires_ms = TOKEN.unpack_from(token)
            opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, token[: TOKEN.size], token[TOKEN.size : begin], FLEET_KEY
            )
        except (struct.error, CryptoError, ValueError):
            return None
        match_id, player, entity, *_ = PRIVATE.unpack(opened)
        known = (player, entity) == DIRECTOR or player in self.match["fences"]
        of_match = match_id == uuid.UUID(self.match["match_id"]).bytes
        return (player, entity) if known and of_match and expires_ms > time.time() * 1000 else None


async def play(http: aiohttp.ClientSession, lane: Lane, server: str, match: dict[str, Any]) -> None:
    """Play one match: check its players out, let them in, tell the result, commit it."""
    identity = {"Authorization": f"Bearer {service_token(server)}"}
    ids = [str(player["player_id"]) for player in match["players"]]
    asked = {"match_id": match["match_id"], "server": server, "region": match["region"]}
    asked |= {"ttl_s": 60.0 + 2 * match["match_s"], "player_ids": ids}
    leases = await call(http, "POST", f"{META}/v1/internal/checkouts", asked, identity)
    match["fences"] = {int(each["player_id"]): each["fence"] for each in leases["checked_out"]}
    lane.match = match  # from here on it answers the director, and players
    await report(http, {"phase": "playing", "match_id": match["match_id"]})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(lane.all_here.wait(), COME_S)
    began = time.time()
    await asyncio.sleep(match["match_s"])
    ended = time.time()
    teams = {int(each["player_id"]): each["team"] for each in match["players"]}
    order = sorted(match["fences"], key=lambda player: -lane.said.get(player, -1))
    placed = [
        {"player_id": player, "placement": place, "kills": 0, "played_s": ended - began}
        for place, player in enumerate(order, 1)
    ]
    came = [row | {"team": teams[row["player_id"]]} for row in placed if row["player_id"] in lane.said]
    await tell_result(server, match, came, ended)
    rows = [
        row
        | {"player_id": str(row["player_id"]), "fence": match["fences"][row["player_id"]], "ended_at": ended}
        for row in placed
    ]
    done = {"match_id": match["match_id"], "players": rows}
    await call(http, "POST", f"{META}/v1/internal/commits", done, identity)
    for address in lane.players:
        lane.transport.sendto(bytes([OVER]), address)
    await report(http, {"phase": "over", "outcome": "ended", "match_id": match["match_id"], "kills": 0})


async def tell_result(server: str, match: dict[str, Any], placed: list[Any], ended: float) -> None:
    """Send the match's result to rewards: experience, ratings and challenges come out of it."""
    schema: Any = importlib.import_module("events_pb2")  # protoc --python_out=. rewards/events.proto
    match_id = uuid.UUID(match["match_id"]).bytes
    # An event's id is a UUIDv7. Made of the match alone, a result that is sent twice counts once.
    digest = hashlib.sha256(b"result" + match_id).digest()
    id_bits = bytes([0x70 | digest[0] & 15, digest[1], 0x80 | digest[2] & 63]) + digest[3:10]
    event = schema.Envelope(
        event_id=int(match["allocated_at"] * 1000).to_bytes(6, "big") + id_bits,
        match_id=match_id,
        region=match["region"],
        producer=server,
        occurred_at=ended,
        match_ended={"mode": match["mode"], "duration_s": match["match_s"], "placements": placed},
    )
    prefix = os.environ.get("LAUNCHDAY_TOPIC_PREFIX", "launchday")
    async with AIOKafkaProducer(bootstrap_servers=os.environ["LAUNCHDAY_KAFKA_BOOTSTRAP"]) as producer:
        await producer.send_and_wait(f"{prefix}.match", event.SerializeToString(), match_id)


async def live(http: aiohttp.ClientSession) -> None:
    """Be a game server of the fleet: ready, allocated, one match, shutdown."""
    record = await call(http, "GET", f"{SDK}/gameserver")
    port, lane = record["status"]["ports"][0]["port"], Lane()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: lane, local_addr=("0.0.0.0", port))
    await call(http, "POST", f"{SDK}/ready", {})
    heartbeats = asyncio.create_task(beat(http))
    async with http.get(f"{SDK}/watch/gameserver") as changes:
        async for line in changes.content:
            record = json.loads(line)["result"] if line.strip() else record
            if record["status"]["state"] == "Allocated":
                break
    match = json.loads(record["object_meta"]["annotations"]["launchday.dev/match"])
    await play(http, lane, record["object_meta"]["name"], match)
    await call(http, "POST", f"{SDK}/shutdown", {})
    await heartbeats  # until SIGTERM


async def beat(http: aiohttp.ClientSession) -> None:
    """Say that this server lives, as long as it does."""
    while True:
        await call(http, "POST", f"{SDK}/health", {})
        await asyncio.sleep(HEARTBEAT_S)


async def report(http: aiohttp.ClientSession, said: dict[str, Any]) -> None:
    """Tell the fleet how the match goes. The first report says that it has begun, the last how it ended."""
    annotation = {"key": "launchday-report", "value": json.dumps(said)}
    await call(http, "PUT", f"{SDK}/metadata/annotation", annotation)


async def call(
    http: aiohttp.ClientSession, method: str, url: str, body: Any = None, headers: Any = None
) -> Any:
    """Call until it is answered: a sidecar may start after its server, a service may be starting again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with http.request(method, url, json=body, headers=headers) as answer:
                    content = await answer.read()
                    if answer.status < 500:
                        answer.raise_for_status()
                        return json.loads(content) if content else None
            await asyncio.sleep(0.2)


def service_token(server: str) -> str:
    """Say who calls: a token that this server signs. docs/keys.md has its claims, and other keys."""
    now = int(time.time())
    claims = {"sub": server, "roles": ["service"], "iat": now, "exp": now + 86400}
    secret = os.environ["LAUNCHDAY_IDENTITY_SECRET"]
    return jwt.encode(claims | {"iss": "launchday", "aud": "launchday"}, secret, algorithm="HS256")


async def main() -> None:
    """Live until SIGTERM."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0)) as http:
        life = asyncio.create_task(live(http))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, life.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await life


FLEET_KEY = bytes.fromhex(os.environ.get("LAUNCHDAY_FLEET_KEY", ""))

if __name__ == "__main__":
    asyncio.run(main())
