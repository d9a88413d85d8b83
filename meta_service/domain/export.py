"""Everything that is held about a player, as one JSON (GDPR, articles 15 and 20)."""

from __future__ import annotations

import json
from typing import Any, cast

from meta_service.cache import keys
from meta_service.domain.players import Players
from meta_service.messages.accounts import AccountExport
from meta_service.messages.base import PlayerId

# Of each table the rows about the player ($1), as the player may read them: other players by their ids, which
# both know; of hashes, by which devices are known, the first digits; no hash of a password, and no operator's
# name.
SECTIONS = {
    "account": """
        SELECT player_id::text, left(encode(device_hash, 'hex'), 16) AS first_login, display_name, created_at
        FROM accounts WHERE player_id = $1
    """,
    "display_name": "SELECT display_name, taken_at FROM display_names WHERE player_id = $1",
    "names_kept": "SELECT name_key, left_at FROM name_keys WHERE player_id = $1 ORDER BY name_key",
    "logins": """
        SELECT left(encode(login_hash, 'hex'), 16) AS login, kind, issuer, subject, linked_at
        FROM logins WHERE player_id = $1 ORDER BY linked_at
    """,
    "password": "SELECT name FROM credentials WHERE player_id = $1",
    "session": """
        SELECT session_id, state, to_timestamp(opened / 1000.0) AS opened_at, region, stored_at
        FROM sessions WHERE player_id = $1
    """,
    "loadout": """
        SELECT skin, emotes, settings, version, region, stored_at FROM loadouts WHERE player_id = $1
    """,
    "progress": """
        SELECT xp, level, kills, deaths, matches, updated_at FROM progression WHERE player_id = $1
    """,
    "season_progress": "SELECT season, xp, tier FROM season_progress WHERE player_id = $1 ORDER BY season",
    "season_records": """
        SELECT season, matches, wins, kills FROM season_records WHERE player_id = $1 ORDER BY season
    """,
    "challenges": """
        SELECT challenge, period, count, completed FROM challenge_progress
        WHERE player_id = $1 ORDER BY challenge, period
    """,
    "rewards": """
        SELECT source, key, gives, given_at FROM reward_grants
        WHERE player_id = $1 ORDER BY given_at, source, key
    """,
    "ratings": """
        SELECT mode, mu, sigma, matches, updated_at FROM ratings WHERE player_id = $1 ORDER BY mode
    """,
    "matches": """
        SELECT match_id, server, region, checked_out_at, outcome, placement, kills, played_s, ended_at
        FROM match_history WHERE player_id = $1 ORDER BY fence
    """,
    "wallets": "SELECT currency, balance FROM wallets WHERE player_id = $1 ORDER BY currency",
    "ledger": """
        SELECT entry_no, transfer_id, currency, amount, reason, item_id, quantity,
            split_part(actor, ':', 1) AS actor, booked_at, request_id
        FROM ledger WHERE account = $1 ORDER BY entry_no
    """,
    "items": """
        SELECT item_id, quantity, acquired_at FROM inventory WHERE player_id = $1 ORDER BY item_id
    """,
    "item_movements": """
        SELECT entry_no, transfer_id, item_id, quantity, reason, split_part(actor, ':', 1) AS actor,
            booked_at, request_id
        FROM item_movements WHERE player_id = $1 ORDER BY entry_no
    """,
    "purchases": """
        SELECT purchase_id, item_id, quantity, currency, paid, purchased_at, refunded_at
        FROM purchases WHERE player_id = $1 ORDER BY purchased_at
    """,
    "idempotency_keys": "SELECT key, answer FROM idempotency WHERE owner = $1 ORDER BY key",
    "friends": """
        SELECT (CASE WHEN low_id = $1 THEN high_id ELSE low_id END)::text AS player_id,
            CASE WHEN state = 'friends' THEN 'friends' WHEN asked_by = $1 THEN 'asked' ELSE 'invited' END
                AS relation, since
        FROM friendships WHERE low_id = $1 OR high_id = $1 ORDER BY since
    """,
    "blocked": """
        SELECT blocked_id::text AS player_id, since FROM blocks WHERE player_id = $1 ORDER BY since
    """,
    "requests_declined": """
        SELECT asker_id::text AS player_id, ends_at FROM declined_requests
        WHERE player_id = $1 ORDER BY ends_at
    """,
    "bans": """
        SELECT reason, banned_at, ends_at, lifted_at FROM bans WHERE player_id = $1 ORDER BY ban_no
    """,
    "operators_acts": """
        SELECT action, reason, detail, done_at FROM operator_actions WHERE player_id = $1 ORDER BY action_no
    """,
}
"""Section → its statement."""


def _statement() -> str:
    sections = (
        f"'{name}', (SELECT coalesce(json_agg(one), '[]') FROM ({rows}) AS one)"
        for name, rows in SECTIONS.items()
    )
    every = ", ".join(sections)
    return f"SELECT json_build_object({every})::text AS stored FROM (SELECT $1::bigint) AS player"


_EXPORT = _statement()

ELSEWHERE = {
    "events": (
        "What happened in matches and to progress is in the event log for seven days, or as long as the"
        " operator has set, under the player's id; then it expires."
    ),
    "analytics": (
        "The same events are in the analytics' Parquet files until the operator deletes those. For the rows"
        " that name the player the operator runs: python -m rewards.analytics.erase --show PLAYER_ID"
    ),
    "logs": "Services' logs name players by id; the operator says for how long they are kept.",
}


class Exports:
    """Reads what there is about a player."""

    def __init__(self, players: Players) -> None:
        self._players = players

    async def of(self, player_id: int, now: float, wall: float) -> AccountExport:
        """All about a player, at ``wall`` (Unix seconds).

        Raises UnknownPlayerError or StoreUnavailableError.
        """
        cached = await self._cached(player_id, now)
        (row,) = await self._players.store.read(_EXPORT, player_id)
        return AccountExport(PlayerId(player_id), wall, json.loads(row["stored"]), cached, ELSEWHERE)

    async def _cached(self, player_id: int, now: float) -> dict[str, Any]:
        player = await self._players.profile(player_id, now)
        names = self._players.cache.keys
        pipeline = self._players.cache.redis.pipeline(transaction=False)
        pipeline.hgetall(names.player(player_id))
        pipeline.get(names.presence(player_id))
        pipeline.get(keys.party_of(player_id))
        pipeline.zrange(keys.invitations(player_id), 0, -1)
        pipeline.get(names.friends(player_id))
        fields, presence, party, invitations, friends = await cast(Any, pipeline.execute())
        fields["device"] = fields.get("device", "")[:16]
        return {
            "player": {
                name if not name.startswith("login:") else name[:22]: value for name, value in fields.items()
            },
            "changes_wait_for_the_store": player.pending,
            "presence": presence,
            "party": party,
            "invitations": invitations,
            "friends": json.loads(friends) if friends else None,
        }
