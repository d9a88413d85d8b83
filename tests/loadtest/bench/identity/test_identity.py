"""What tokens cost, and that keys are rotated under load without a failed request; no clock is judged."""

from __future__ import annotations

import asyncio

from loadtest.bench.identity import rotation, tokens


def test_a_remembered_token_is_shown_beside_one_hmac() -> None:
    figures = tokens.run(repeats=3, batch=20)
    assert figures["hmac_us"] > 0
    for algorithm in ("HS256", "EdDSA"):
        assert all(figures[algorithm][f"{what}_us"] > 0 for what in ("sign", "verify", "remembered"))
        assert figures["token_bytes"][algorithm] > 200
    assert figures["remembered_bytes"] * figures["remembered_at_most"] < 100 * 2**20


async def test_keys_are_rotated_twice_under_load_and_nobody_notices() -> None:
    figures = await asyncio.to_thread(rotation.run, 1.0, lead_s=2.0)
    assert figures["failures"] == {}
    assert (figures["rotations"], figures["failed"], figures["logged_out"]) == (4, 0, 0)
    assert figures["keys_that_signed_logins"] == 3
    assert set(figures["of_each"]) == {"cancel", "login", "profile", "refresh", "ticket"}
