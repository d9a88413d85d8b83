"""Ends of different ages: whoever knows more rows of a table plays with whoever knows fewer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dedicated_server.protocol import connect_token, datagrams, document, sealing
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.connect_token import ConnectTokenError
from tests.dedicated_server.protocol.grown_match import HIT, KILL, NAMES, PING, TEAMS, End
from tests.dedicated_server.protocol.grown_peer import ROOT, grown_package
from tests.dedicated_server.protocol.oracle import OracleClient
from tests.dedicated_server.protocol.rig import FIRST_PLAYER, Table, token

TURNS = 80


class Peer:
    """Both ends in a process of their own, with the grown package."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join([str(folder), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.dedicated_server.protocol.grown_peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")},
        )

    def ask(self, **what: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        with self._process:  # its pipes are closed, so it ends
            pass


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("grown")
    grown_package(folder)
    peer = Peer(folder)
    yield peer
    peer.close()


@pytest.mark.timeout(600)  # the grown package's kernels are compiled
@pytest.mark.parametrize("served_by", ["this version", "a later version"])
def test_a_match_is_played_by_ends_of_which_one_knows_more(grown: Peer, served_by: str) -> None:
    here = End(serves=served_by == "this version")
    there = "clients" if here.serves else "server"
    said: Any = []
    for _ in range(TURNS):
        if here.serves:
            said = here.turn(grown.ask(end=there, datagrams=said))
        else:
            said = here.turn(said)
            said = grown.ask(end=there, datagrams=said)
    server, clients = here.state(), grown.ask(end=there)
    if not here.serves:
        server, clients = clients, server
    assert server["status"] == [1, 1, 1]
    assert clients["state"] == [3, 3, 3]
    assert server["drops"] == clients["drops"] == {}
    assert server["inputs"] == [[10 * client, -5, 300, 1] for client in range(3)]
    assert server["waiting"] == [0, 0, 0]
    assert clients["lag"] == [1, 1, 1]
    assert [row[0] for row in clients["match"]] == [1, 3, 864_000, 2, 2, 0b1101]
    assert clients["scores"] == [[4, 5, 0]] * 3
    assert clients["objectives"] == [[[0, -1, 0], [1, 0, 1]]] * 3
    assert [[told if told < 0 else told & 127 for told in row] for row in clients["vitals"]] == [
        [90, 89, -1],
        [90, 89, -1],
        [-1, -1, 88],
    ]
    assert clients["teams"] == [TEAMS] * 3
    assert clients["players"] == [[FIRST_PLAYER, FIRST_PLAYER + 1, 7]] * 3
    assert clients["names"] == [[*NAMES[:2], "Nova"]] * 3
    for client, events in enumerate(clients["events"]):
        heard = [tuple(event[1:]) for event in events if event[0] == 1]
        assert heard == [KILL]
        assert sum(event[0] == 2 and tuple(event[1:3]) == HIT[:2] for event in events) == (client == 0)
        assert [tuple(event[1:5]) for event in events if event[0] == 5] == [PING] * (TEAMS[client] == 0)
    x, y, health, flags = clients["seen"]
    newest = TURNS - 1  # the turn of the last snapshot that clients have received
    assert x == [[round((1_024 + 0.25 * newest) * 64)] * 3] * 3
    assert y == [[round((1_024 + 10 * entity) * 64) for entity in range(3)]] * 3
    assert {told for of in (health, flags) for row in of for told in row} == {127, 1}
    assert clients["added"] == ([[0] * 3] * 3 if here.serves else None)


def test_another_major_version_is_refused_and_counted_whatever_its_sizes_are() -> None:
    table = Table(1, join=False)
    request = OracleClient(token()).request()
    older = request[:1] + b"LDWIRE01" + request[9:176]  # as long as that version's were
    later = request[:1] + b"LDWIRE04" + request[9:] + bytes(40)
    for datagram in (older, later, b"\2" + later[1:], request[:8]):
        table.say(0, datagram)
    assert {answer for _, answer in table.serve()} == {b"\x07\x0dLDWIRE03\x06"}
    assert {name: count for name, count in table.wire.drops_by_reason().items() if count} == {
        "version": 3,
        "length": 1,
    }


def test_a_client_does_not_use_a_token_of_another_major_version() -> None:
    other = b"LDWIRE04" + token()[8:]
    with pytest.raises(ConnectTokenError, match="another version"):
        ClientSessions(1, 1).add(other)


def test_the_version_is_one_number() -> None:
    assert f"LDWIRE{connect_token.MAJOR:02d}".encode() == connect_token.VERSION
    text = document.DOCUMENT.read_text()
    assert text.startswith(f"# The fast lane's wire format, version {connect_token.VERSION.decode()}\n")
    assert "LDWIRE01" not in text


def test_what_is_sent_to_whom_has_not_proved_itself_is_smaller_than_what_they_sent() -> None:
    assert datagrams.CHALLENGE_BYTES < datagrams.REQUEST_BYTES
    assert datagrams.REFUSAL_BYTES < datagrams.REQUEST_BYTES
    assert datagrams.VERSION_BYTES < datagrams.UP_HEADER_BYTES + sealing.CHACHA_TAG_BYTES
