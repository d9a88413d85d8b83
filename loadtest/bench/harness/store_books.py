"""Questions to the store whose answer is 0 when the books of the meta service add up."""

from __future__ import annotations

WALLETS_OFF = """
SELECT count(*) FROM wallets FULL JOIN (
    SELECT account AS player_id, currency, sum(amount)::bigint AS balance FROM ledger
    WHERE account > 0 GROUP BY 1, 2
) AS booked USING (player_id, currency)
WHERE wallets.balance IS DISTINCT FROM booked.balance
"""
"""How many wallets hold something else than was booked."""
