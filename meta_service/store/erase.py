"""The statement that takes a player out of the store: what goes, and what stays under a pseudonym.

One statement, so one transaction; it notes that it was done, and repeated it does nothing. It has to be run
at one moment (`Store.change`): a wallet that a purchase changes meanwhile would go with a balance whose
entries stay behind. Money and items stay, because the books must go on to add up, and a studio has to keep
them; what operators did stays, because they answer for it. The books themselves let their rows be changed in
this one way, see the migration ``r0020_accounts``.
"""

from __future__ import annotations

DELETED = {
    "accounts": "player_id = $1",
    "account_changes": "player_id = $1",
    "bans": "player_id = $1",
    "blocks": "player_id = $1 OR blocked_id = $1",
    "challenge_progress": "player_id = $1",
    "credentials": "player_id = $1",
    "declined_requests": "player_id = $1 OR asker_id = $1",
    "display_names": "player_id = $1",
    "friendships": "low_id = $1 OR high_id = $1",
    "idempotency": "owner = $1",
    "loadouts": "player_id = $1",
    "logins": "player_id = $1",
    "match_history": "player_id = $1",
    "name_keys": "player_id = $1",
    "newer_events": "key = convert_to($1::text, 'UTF8')",
    "progression": "player_id = $1",
    "purchase_outbox": "purchase_id IN (SELECT purchase_id FROM purchases WHERE player_id = $1)",
    "ratings": "player_id = $1",
    "reward_grants": "player_id = $1",
    "season_progress": "player_id = $1",
    "season_records": "player_id = $1",
    "sessions": "player_id = $1",
}
"""Table → whose rows go. ``$1`` is the player; ``$3`` of the whole is now (Unix seconds)."""

PSEUDONYMOUS = {
    "inventory": ("player_id", ""),
    "item_movements": ("player_id", "request_id"),
    "ledger": ("account", "request_id"),
    "operator_actions": ("player_id", "request_id"),
    "purchases": ("player_id", ""),
    "wallets": ("player_id", ""),
}
"""Table → the column in which the pseudonym (``$2``) takes the player's place, and one that becomes null."""


# The request is on the house's entry of each transfer, too.
_OTHER_SIDES = """
    UPDATE ledger AS other SET request_id = NULL FROM ledger AS own
    WHERE own.account = $1 AND other.entry_no BETWEEN own.entry_no AND own.entry_no + 64
        AND other.transfer_id = own.transfer_id AND other.account <= 0
"""


# Once for one pseudonym: a wallet that was opened since would meet the one that has it already.
_IS_DUE = "EXISTS (SELECT FROM erasures WHERE player_id = $1 AND stored_at IS NULL)"
_DONE = "UPDATE erasures SET stored_at = to_timestamp($3) WHERE player_id = $1 AND stored_at IS NULL"


def _statement() -> str:
    parts = [_DONE]
    parts += [f"DELETE FROM {table} WHERE ({whose}) AND {_IS_DUE}" for table, whose in DELETED.items()]
    for table, (holder, emptied) in PSEUDONYMOUS.items():
        also = f", {emptied} = NULL" if emptied else ""
        parts.append(f"UPDATE {table} SET {holder} = $2{also} WHERE {holder} = $1 AND {_IS_DUE}")
    parts.append(f"{_OTHER_SIDES} AND {_IS_DUE}")
    steps = ", ".join(f"step_{number} AS ({part})" for number, part in enumerate(parts))
    return f"WITH player AS (SELECT $1::bigint, $2::bigint, $3::float8), {steps} SELECT true"


ERASE = _statement()
