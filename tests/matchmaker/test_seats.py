"""The tokens of a match: each player's is of the best cipher that their client and the servers have."""

from __future__ import annotations

import base64

import msgspec
import numpy as np
import pytest

from dedicated_server.native import sodium_library
from dedicated_server.protocol import connect_token
from launchday.clock import ManualClock
from matchmaker.messages import Assignment, TicketView
from matchmaker.tickets.seats import assigned_views, renewed
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RecordFormat, RequeueRecord

KEY = bytes(range(32))
MATCH = "0192f0c1-2f60-7a3b-8c4d-5e6f708192a3"
CHACHA, AEGIS = connect_token.CIPHER_CHACHA20_POLY1305, connect_token.CIPHER_AEGIS_128L
SLOTS = [(11, 0, 0), (12, 1, 0), (13, 2, 1)]


def record(ciphers: list[int], regions: int) -> RequeueRecord:
    rows = np.zeros(len(ciphers), RecordFormat(regions).dtype)
    rows["player_id"] = [player_id for player_id, _, _ in reversed(SLOTS)]
    rows["ciphers"] = list(reversed(ciphers))
    return RequeueRecord(rows.tobytes())


def assignments(tickets: RequeueRecord) -> list[Assignment]:
    views = assigned_views(
        KEY, 60.0, MATCH, "west", ("203.0.113.7", "", 7001), "duel", ["a", "b", "c"], SLOTS, ManualClock(),
        1_800_000_000.0, tickets,
    )  # fmt: skip
    found = [msgspec.json.decode(view, type=TicketView).assignment for view in views]
    return [each for each in found if each is not None]


def cipher_of(assignment: Assignment) -> int:
    return connect_token.read_public(base64.b64decode(assignment.connect_token)).cipher


@pytest.mark.parametrize("regions", [0, 1, 7])
def test_each_player_has_the_best_cipher_that_both_ends_have(
    regions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sodium_library, "has_aes", lambda: True)
    said = [connect_token.known_ciphers(names) for names in (["aegis-128l"], [], ["aegis-128l"])]
    made = assignments(record(said, regions))
    assert [cipher_of(each) for each in made] == [AEGIS, CHACHA, AEGIS]
    for (player_id, _, _), each in zip(SLOTS, made, strict=True):
        again = renewed(KEY, 60.0, each, player_id, ManualClock(), 1_800_000_100.0)
        assert cipher_of(again) == cipher_of(each)
    assert [cipher_of(each) for each in assignments(NO_REQUEUE_RECORD)] == [CHACHA] * 3


def test_a_record_of_the_release_before_reads_as_a_client_that_did_not_say() -> None:
    before = np.array([4], "<i4").tobytes()  # its platform, and nothing else there
    read = np.frombuffer(before, [("platform", "<i2"), ("ciphers", "<u2")])
    assert (read["platform"][0], read["ciphers"][0]) == (4, 0)
    names = RecordFormat(1).dtype
    assert names.fields is not None
    assert names.fields["ciphers"][1] == names.fields["platform"][1] + 2
