"""A player's seat in a match, as the player reads it: where to go, and the connect token that lets them in.

The director seals the tokens of a whole match when it is assigned; the API seals one more for a player who
comes back to the same seat with another client.
"""

from __future__ import annotations

import contextlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from uuid import UUID

import msgspec

from dedicated_server.protocol import connect_token
from launchday.clock import Clock
from matchmaker.messages import ASSIGNED, Assignment, TicketView
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RecordFormat, RequeueRecord

TOKEN_STEP_S = 0.001  # tokens are stamped in milliseconds

_encode = msgspec.json.Encoder().encode


def assigned_views(
    fleet_key: bytes,
    token_ttl_s: float,
    match_id: str,
    region: str,
    server: tuple[str, str, int],
    mode: str,
    ticket_ids: Sequence[str],
    slots: Sequence[tuple[int, int, int]],
    clock: Clock,
    now: float,
    record: RequeueRecord = NO_REQUEUE_RECORD,
) -> list[bytes]:
    """Return the final view of each ticket of a match, as JSON.

    Args:
        fleet_key: seals the tokens; 32 bytes.
        token_ttl_s: seconds that they are valid.
        match_id, region: of the match.
        server: its address, an IP literal; one of the other family, or ""; and its port.
        mode: what the match is played in.
        ticket_ids: N tickets.
        slots: for each (player id, entity, team).
        clock: draws the tokens' nonces.
        now: Unix seconds.
        record: the tickets as they were queued; empty where they are not known any more.
    """
    address, other_address, port = server
    tokens = connect_token.seal_roster(
        fleet_key,
        slots,
        match_id=UUID(match_id),
        address=address,
        other_address=other_address,
        port=port,
        issued_at=now,
        expires_at=now + token_ttl_s,
        random=clock.random("connect-token").randbytes(connect_token.RANDOM_BYTES * len(slots)),
        ciphers=_ciphers(record, [player_id for player_id, _, _ in slots]),
    )
    views = []
    for ticket_id, (_, entity, team), token in zip(ticket_ids, slots, tokens, strict=True):
        assignment = Assignment(
            match_id, region, address, port, _text(token), team, entity, mode, other_address=other_address
        )
        views.append(_encode(TicketView(ticket_id, ASSIGNED, None, assignment)))
    return views


def renewed(
    fleet_key: bytes, token_ttl_s: float, assignment: Assignment, player_id: int, clock: Clock, now: float
) -> Assignment:
    """Return a player's assignment with a newer token for the same seat.

    A game server lets the newest token of a player in, so a client that was started again takes over the slot
    of the one that crashed. The newest is the one that was issued last, so this one is issued later than the
    one before whatever clock that one was stamped by. Arguments as of `assigned_views`.
    """
    issued_at, cipher = now, connect_token.CIPHER_CHACHA20_POLY1305
    with contextlib.suppress(connect_token.ConnectTokenError):  # sealed with a key from before a rotation
        before = connect_token.open_private(fleet_key, a2b_base64(assignment.connect_token))
        issued_at, cipher = max(now, before.issued_at + TOKEN_STEP_S), before.cipher
    [token] = connect_token.seal_roster(
        fleet_key,
        [(player_id, assignment.entity, assignment.team)],
        match_id=UUID(assignment.match_id),
        address=assignment.address,
        other_address=assignment.other_address,
        port=assignment.port,
        issued_at=issued_at,
        expires_at=issued_at + token_ttl_s,
        random=clock.random("connect-token").randbytes(connect_token.RANDOM_BYTES),
        ciphers=[cipher],
    )
    return msgspec.structs.replace(assignment, connect_token=_text(token))


def _ciphers(record: RequeueRecord, player_ids: Sequence[int]) -> list[int]:
    """The cipher of each player: the best that both their client and the servers have, as its ticket said."""
    known: dict[int, int] = {}
    if record.records and player_ids:
        rows = RecordFormat.of_tickets(record.records, len(player_ids)).unpack(record.records)
        known = dict(zip(rows["player_id"].tolist(), rows["ciphers"].tolist(), strict=True))
    return [connect_token.cipher_for(known.get(player_id, 0)) for player_id in player_ids]


def _text(token: bytes) -> str:
    return b2a_base64(token, newline=False).decode()
