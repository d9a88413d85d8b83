"""Who sits in a match that is played, as the rules read them: kept in the cache while the match may want
players, so that those who come in later suit those who are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from matchmaker.tickets.ticket import RecordFormat, RequeueRecord


class SeatedPlayer(msgspec.Struct, frozen=True, array_like=True):
    """A player of a running match.

    Attributes:
        player_id: whose seat it is.
        team: as the game server numbers it.
        skill: the rating's mean.
        attributes: what the ticket brought, as JSON; empty where the mode's rules read nothing.
        latency_ms: round trips, by region.
    """

    player_id: int
    team: int
    skill: float
    attributes: str
    latency_ms: dict[str, float]


def seats_of(
    record: RequeueRecord,
    regions: Sequence[str],
    player_ids: Sequence[int],
    entities: Sequence[int],
    teams: Sequence[int],
) -> list[tuple[int, str]]:
    """Return the seats of players as the cache keeps them, JSON, each with its entity.

    Args:
        record: their tickets, in any order; a player who is not among them has an empty seat: somebody sits
            there of whom nothing is known.
        regions: columns of the record's round trips.
        player_ids, entities, teams: of each.
    """
    known: dict[int, tuple[float, str, list[float]]] = {}
    if record.records:
        rows = RecordFormat(len(regions)).unpack(record.records)
        attributes = list(record.attributes) or [""] * len(rows)
        known = {
            player_id: (skill, stored, latency_ms)
            for player_id, skill, stored, latency_ms in zip(
                rows["player_id"].tolist(),
                rows["skill_mean"].tolist(),
                attributes,
                rows["latency_ms"].tolist(),
                strict=True,
            )
        }
    return [
        (entity, _seated(player_id, team, known[player_id], regions) if player_id in known else "")
        for player_id, entity, team in zip(player_ids, entities, teams, strict=True)
    ]


def read_seats(stored: Mapping[bytes, bytes]) -> list[SeatedPlayer] | None:
    """Return who sits in a match, by entity; None where that is not known of all.

    Raises msgspec.MsgspecError and ValueError where a seat cannot be read.
    """
    if not stored or b"" in stored.values():
        return None
    return [_decode(stored[entity]) for entity in sorted(stored, key=int)]


def _seated(player_id: int, team: int, found: tuple[float, str, list[float]], regions: Sequence[str]) -> str:
    skill, stored, latency_ms = found
    near = {region: value for region, value in zip(regions, latency_ms, strict=True) if math.isfinite(value)}
    return _encode(SeatedPlayer(player_id, team, skill, stored, near)).decode()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SeatedPlayer).decode
