"""What a step of the machine's wall clock does to sessions and leases."""

from __future__ import annotations

import pytest

from launchday.settings import Settings
from tests.meta_service.conftest import Clock, new_match, result, running
from tests.meta_service.domain.test_shop import refused

HOUR_S = 3600.0
LEFT_S = 10.0  # of the access tokens' life, when the clock is stepped


class SteppedClock(Clock):
    """A clock whose wall time can be stepped alone, as a machine's."""

    ahead_s = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead_s


@pytest.mark.parametrize(("step_s", "refreshed"), [(300.0, 0), (-300.0, 0), (HOUR_S, 1), (-HOUR_S, 0)])
async def test_a_step_logs_nobody_out_and_ends_no_lease(
    settings: Settings, step_s: float, refreshed: int
) -> None:
    clock = SteppedClock()
    async with running(settings.model_copy(update={"requests_per_player_s": 0.0}), clock) as backend:
        client, login, match = backend.client, await backend.login(), new_match()
        clock.advance(settings.session_ttl_s - LEFT_S)
        [player] = (await client.check_out(match, "server", "west-europe", 60, [login.player_id])).checked_out
        clock.ahead_s = step_s
        if refreshed:
            with refused("invalid-token"):
                await client.profile(login.session_token)
            login = await client.refresh(login.refresh_token)
        assert (await client.profile(login.session_token)).player_id == login.player_id
        assert (await client.counters()).expired == 0
        assert (await client.skills("battle_royale", [login.player_id])).held[
            login.player_id
        ].match_id == match
        assert (await client.commit(match, [result(login.player_id, player.fence)])).refused == []
        # The tokens of the new time are good for as long as any.
        clock.advance(settings.session_ttl_s - LEFT_S if refreshed else LEFT_S / 2)
        await client.profile(login.session_token)


async def test_a_token_that_has_expired_is_refused_whatever_the_clock_did(settings: Settings) -> None:
    clock = SteppedClock()
    async with running(settings, clock) as backend:
        login = await backend.login()
        clock.ahead_s = 300.0
        clock.advance(settings.session_ttl_s + 1.0)
        with refused("invalid-token"):
            await backend.client.profile(login.session_token)
