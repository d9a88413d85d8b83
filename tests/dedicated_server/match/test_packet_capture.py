"""Captures a real match with tshark: its payloads are unreadable, and a plaintext control is readable."""

from __future__ import annotations

import asyncio
import secrets
import time
from uuid import UUID

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.match.report import build_report
from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.sealing import CHACHA_TAG_BYTES
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import open_transport
from loadtest.bench.tick.leak_check import (
    entropy_bits,
    excess_bits,
    forms_of_id,
    forms_of_match,
    forms_of_name,
    readable_secrets,
    worst_column,
)
from tests.dedicated_server.match.packet_capture import Capture
from tests.dedicated_server.match.players import Players
from tests.optional import needs

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("kernels")]

PLAYERS = 8
TICKS = 600
MATCH_ID = UUID("7d1c9b52-48e3-4f0a-9c66-d3a1be5f2870")
FLEET_KEY = bytes(range(32))
NAMES = [f"Eavesdroppee-{number}" for number in range(PLAYERS)]
PLAYER_IDS = [int(number) for number in np.random.default_rng(12).integers(2**60, 2**63 - 1, PLAYERS)]
SECRETS = forms_of_match(MATCH_ID)
for name, player_id in zip(NAMES, PLAYER_IDS, strict=True):
    SECRETS |= forms_of_id(f"player id of {name}", player_id) | forms_of_name(name)
MOST_EXCESS_BITS = 0.01  # pooled; 300 KB of random bytes fall short of 8 bits by 0.0006, and vary by 0.0001
COLUMNS = 16 + CHACHA_TAG_BYTES  # places that every sealed datagram has
MOST_COLUMN_EXCESS_BITS = 0.1  # of one place in some thousands of datagrams


def token(config: MatchConfig, player: RosterPlayer, port: int, cipher: int) -> bytes:
    now_s = time.time()
    return connect_token.seal(
        FLEET_KEY,
        match_id=config.match_id,
        player_id=player.player_id,
        entity=player.entity,
        team=player.team,
        address="127.0.0.1",
        port=port,
        issued_at=now_s,
        expires_at=now_s + 600.0,
        cipher=cipher,
        random=secrets.token_bytes(connect_token.RANDOM_BYTES),
    )


@needs("tshark")
@pytest.mark.parametrize("cipher", [connect_token.CIPHER_AEGIS_128L, connect_token.CIPHER_CHACHA20_POLY1305])
async def test_an_eavesdropper_reads_nothing_of_a_match_but_would_if_it_were_there(cipher: int) -> None:
    roster = [RosterPlayer(player_id, entity, entity) for entity, player_id in enumerate(PLAYER_IDS)]
    config = MatchConfig(
        MATCH_ID, shipped_cards()["battle_royale"], 5, match_s=60.0, players=roster, spawn_radius_m=30.0
    )
    transport = await open_transport("127.0.0.1", 0)
    engine = Engine(config, FLEET_KEY, transport, secret=bytes(SECRET_BYTES))
    tokens = [token(config, player, transport.port, cipher) for player in roster]
    players = Players(tokens)
    planted: list[bytes] = []
    async with Capture(transport.port) as tap:
        playing = asyncio.create_task(players.play())
        for tick in range(TICKS):
            engine.tick(time.time())
            if tick % 5 == 0:  # what the match would look like if somebody forgot to seal it
                client = tick // 5 % PLAYERS
                plain = engine.wire.state.plain[client].tobytes()[:COLUMNS]
                planted.append(bytes(datagrams.DOWN_HEADER_BYTES) + plain)
                tap.send(planted[-1])
            await asyncio.sleep(0.004)
        playing.cancel()
        tap.send(b"".join(SECRETS.values()))
        sent = transport.traffic.tx_datagrams
        await tap.until(lambda: sum(one.source_port == transport.port for one in tap.datagrams) >= sent)
        await tap.until(
            lambda: sum(one.source_port == tap.client_port for one in tap.datagrams) > len(planted)
        )
        knocking_port = tap.client_port
    await transport.close()

    overheard = [one.payload for one in tap.datagrams if one.source_port != knocking_port]
    ours = [
        one.payload for one in tap.datagrams if one.source_port == knocking_port and one.payload != b"knock"
    ]
    assert build_report(engine)["players_joined"] == PLAYERS

    assert readable_secrets(overheard, SECRETS) == []
    assert readable_secrets(ours, SECRETS) == sorted(SECRETS)

    headers = {
        datagrams.FROM_CLIENT: datagrams.UP_HEADER_BYTES,
        datagrams.FROM_SERVER: datagrams.DOWN_HEADER_BYTES,
    }
    figures = {}
    for kind, header_bytes in headers.items():
        bodies = [payload[header_bytes:] for payload in overheard if payload[0] == kind]
        pooled = b"".join(bodies)
        figures[kind] = (
            len(bodies),
            len(pooled),
            entropy_bits(pooled),
            *worst_column(bodies, COLUMNS),
        )
        assert excess_bits(pooled) < MOST_EXCESS_BITS
        assert figures[kind][-1] < MOST_COLUMN_EXCESS_BITS
    print({"cipher": cipher, "kind: datagrams, bytes, bits a byte, worst column and its excess": figures})

    unsealed = [payload[datagrams.DOWN_HEADER_BYTES :] for payload in ours if payload in set(planted)]
    assert len(unsealed) >= 0.9 * len(planted)
    assert excess_bits(b"".join(unsealed)) > 10 * MOST_EXCESS_BITS
    assert worst_column(unsealed, 16)[1] > 10 * MOST_COLUMN_EXCESS_BITS


def test_readable_data_is_found_wherever_it_stands() -> None:
    noise = np.random.default_rng(1).bytes(500)
    for what, form in SECRETS.items():
        assert what in readable_secrets([noise, noise[:50] + form + noise[50:]], SECRETS)
    assert readable_secrets([noise], SECRETS) == []


def test_random_bytes_pass_for_random_and_text_does_not() -> None:
    random = np.random.default_rng(2)
    assert abs(excess_bits(random.bytes(300_000))) < MOST_EXCESS_BITS
    assert excess_bits(b"the quick brown fox jumps over the lazy dog" * 100) > 3
    column, excess = worst_column([random.bytes(5) + b"x" + random.bytes(5) for _ in range(2_000)], 11)
    assert column == 5
    assert excess > 7
