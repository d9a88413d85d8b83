"""A player whom an operator puts out of a match: its server is told, and nobody else."""

from __future__ import annotations

import pytest

from meta_service.client import MetaClient, PlayerCommit
from tests.meta_service.conftest import Backend, new_match
from tests.meta_service.domain.test_bans import cheater, operating, operator
from tests.meta_service.domain.test_shop import refused

__all__ = ["operator"]  # a fixture

REASON = "griefing, replay 4711"


async def test_the_server_of_the_match_is_told_and_the_audit_says_who_and_why(
    backend: Backend, operator: MetaClient
) -> None:
    login, match_id = await cheater(backend), new_match()
    with refused("not-in-match"):
        await operator.kick(login.player_id, REASON)
    [leased] = (
        await backend.client.check_out(match_id, "west-7", "local", 600.0, [login.player_id])
    ).checked_out
    done = await operator.kick(login.player_id, REASON)
    assert (done.match_id, done.server) == (str(match_id), "west-7")
    told = await backend.client.kicks(match_id)
    assert [(kick.player_id, kick.why) for kick in told.kicks] == [(login.player_id, "kicked")]
    assert not (await backend.client.kicks(new_match())).kicks
    assert (await backend.client.profile(login.session_token)).player_id == login.player_id
    acts = await operator.audit(player_id=login.player_id)
    assert {(act.operator, act.action, act.reason) for act in acts} == {("nina", "kick", REASON)}

    await backend.client.commit(match_id, [PlayerCommit(login.player_id, leased.fence, 2, 0, 10.0)])
    with refused("not-in-match"):
        await operator.kick(login.player_id, REASON)
    taken = await backend.client.check_out(new_match(), "west-8", "local", 60.0, [login.player_id])
    assert not taken.refused  # another match is another matter


async def test_a_lease_whose_time_is_over_holds_nobody(backend: Backend, operator: MetaClient) -> None:
    login = await cheater(backend)
    await backend.client.check_out(new_match(), "west-7", "local", 60.0, [login.player_id])
    backend.clock.advance(61.0)
    with refused("not-in-match"):
        await operator.kick(login.player_id, REASON)


@pytest.mark.parametrize("role", ["viewer", "service"])
async def test_only_an_operator_may(backend: Backend, role: str) -> None:
    login = await cheater(backend)
    async with operating(backend, role=role) as other:
        with refused("forbidden"):
            await other.kick(login.player_id, REASON)
