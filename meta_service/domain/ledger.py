"""Wallets and the double-entry ledger behind them. Every function runs inside a transaction of the caller's.

A wallet is the sum of its player's entries, kept so that a purchase need not add them up. What a player
gains, a house account loses, so all entries of a currency add up to nothing at every moment.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from launchday.telemetry import request_id
from meta_service.errors import InsufficientFundsError


class HouseAccount(enum.IntEnum):
    """The house's accounts; players' are their ids, which are positive."""

    MINT = 0  # where granted money comes from
    SALES = -1  # where the price of a purchase goes, and a refund comes from


@dataclass(frozen=True, slots=True)
class Balance:
    """What a wallet holds after a change; of two, the one with the higher version is the newer."""

    currency: str
    amount: int
    version: int


async def transfer(
    connection: asyncpg.Connection,
    transfer_id: UUID,
    player_id: int,
    house: HouseAccount,
    currency: str,
    amount: int,
    reason: str,
    now: float,
) -> Balance:
    """Move ``amount`` from the house to the player or, when negative, from the player to the house.

    Args:
        connection: inside a transaction.
        transfer_id: of the two entries.
        player_id: whose wallet it is.
        house: the house account on the other side.
        currency: such as ``coins``.
        amount: in the currency's smallest unit; 0 books nothing.
        reason: shown in the player's statement.
        now: Unix seconds.

    Returns the wallet's new balance.

    Raises InsufficientFundsError when the wallet would fall below zero.
    """
    if amount >= 0:
        row = await connection.fetchrow(
            "INSERT INTO wallets AS held (player_id, currency, balance) VALUES ($1, $2, $3)"
            " ON CONFLICT (player_id, currency) DO UPDATE"
            " SET balance = held.balance + excluded.balance, version = held.version + 1"
            " RETURNING balance, version",
            *(player_id, currency, amount),
        )
    else:
        # One statement that checks and takes: a second one waits for the row and sees the new balance.
        row = await connection.fetchrow(
            "UPDATE wallets SET balance = balance + $3, version = version + 1"
            " WHERE player_id = $1 AND currency = $2 AND balance + $3 >= 0 RETURNING balance, version",
            *(player_id, currency, amount),
        )
        if row is None:
            raise InsufficientFundsError(f"the wallet holds less than {-amount} {currency}")
    if amount:
        await connection.execute(
            "INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at, request_id)"
            " VALUES ($1, $2, $4, $5::bigint, $6, to_timestamp($7), $8),"
            " ($1, $3, $4, -$5::bigint, $6, to_timestamp($7), $8)",
            *(transfer_id, player_id, int(house), currency, amount, reason, now, request_id()),
        )
    return Balance(currency, row["balance"], row["version"])
