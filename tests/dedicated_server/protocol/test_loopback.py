from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import numpy as np

from dedicated_server.native.mmsg import ADDRESS_BYTES, sockaddr
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.fields import MATCH_COLUMNS
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from tests.dedicated_server.protocol.rig import FIRST_PLAYER, FLEET_KEY, MATCH_ID, ROOM, token

PLAYERS = 10


def test_players_join_and_see_each_other_over_real_sockets() -> None:
    now_s = time.time()
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(PLAYERS + 1)
        ]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
            one.settimeout(2.0)
        server, *players = sockets
        port = server.getsockname()[1]
        wire = ServerWire(
            fleet_key=FLEET_KEY, match_id=MATCH_ID, host="127.0.0.1", port=port,
            player_ids=range(FIRST_PLAYER, FIRST_PLAYER + PLAYERS), secret=bytes(SECRET_BYTES))  # fmt: skip
        clients = ClientSessions(PLAYERS, PLAYERS)
        for entity in range(PLAYERS):
            clients.add(token(entity, address="127.0.0.1", port=port, issued_at=now_s, expires_at=now_s + 60))
        world = np.arange(PLAYERS)[:, None] * 1_000_003
        everybody = np.tile(np.arange(PLAYERS, dtype=np.int32), (PLAYERS, 1))
        counts, none = np.full(PLAYERS, PLAYERS, np.int32), np.zeros(PLAYERS, np.int32)
        match_state = np.zeros(MATCH_COLUMNS, np.int32)
        room = np.zeros(ROOM, np.uint8)
        batch, lengths = np.zeros((64, ROOM), np.uint8), np.zeros(64, np.int32)
        senders = np.zeros((64, ADDRESS_BYTES), np.uint8)
        by_port = {player.getsockname()[1]: index for index, player in enumerate(players)}
        for tick in range(1, 30):
            now_s += 1 / 60
            said = 0
            for index, player in enumerate(players):
                length = client_transmit(clients.state, index, now_s, 1, 2, 3, 4, 0.0, room)
                if length:
                    player.sendto(room[:length].tobytes(), ("127.0.0.1", port))
                    said += 1
            for row in range(said):
                datagram, source = server.recvfrom(ROOM)
                batch[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
                lengths[row] = len(datagram)
                senders[row] = sockaddr(*source)
            wire.open_batch(batch, lengths, senders, said, now_s, tick)
            wire.input_applied[:] = wire.input_newest
            wire.encode_batch(tick, world, everybody, counts, everybody, none, match_state, none)
            wire.seal_batch(now_s)
            for row in range(int(wire.out_count[0])):
                to_port = int.from_bytes(wire.out_addr[row, 2:4].tobytes(), "big")
                server.sendto(wire.out_buf[row, : wire.out_len[row]].tobytes(), ("127.0.0.1", to_port))
                datagram = players[by_port[to_port]].recv(ROOM)
                room[: len(datagram)] = np.frombuffer(datagram, np.uint8)
                client_receive(clients.state, by_port[to_port], room, len(datagram), now_s)
        assert wire.status.tolist() == [1] * PLAYERS
        assert (clients.state.seen == world).all()
        assert (clients.state.seen_tick == 29).all()
        assert sum(wire.drops_by_reason().values()) == 0
