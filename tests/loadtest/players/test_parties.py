from __future__ import annotations

import asyncio

from loadtest.players.parties import BotParties, BotParty, PlayRequest
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario


async def test_a_party_presses_play_when_its_last_member_is_ready() -> None:
    party = BotParty("p", [4, 5, 6])
    first, second = (asyncio.create_task(party.wait_for_members(bot, bot / 10)) for bot in (4, 5))
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    assert await party.wait_for_members(6, 0.2) == PlayRequest(
        0.5, ("p-1", 3)
    )  # as of when the last of them meant to
    assert await first == await second == PlayRequest(0.5, ("p-1", 3))


async def test_each_match_of_a_party_has_a_name_of_its_own() -> None:
    party = BotParty("p", [0, 1])
    names = []
    for _ in range(3):
        plays = await asyncio.gather(party.wait_for_members(0, 0.0), party.wait_for_members(1, 0.0))
        names.append({play.party for play in plays})
    assert names == [{("p-1", 2)}, {("p-2", 2)}, {("p-3", 2)}]


async def test_who_goes_home_is_not_waited_for_and_the_last_plays_alone() -> None:
    party = BotParty("p", [0, 1, 2])
    waiting = [asyncio.create_task(party.wait_for_members(bot, 1.0)) for bot in (0, 1)]
    await asyncio.sleep(0)
    party.leave(2)
    assert [await each for each in waiting] == [PlayRequest(1.0, ("p-1", 2))] * 2
    party.leave(0)
    assert await party.wait_for_members(1, 7.0) == PlayRequest(7.0, None)


async def test_a_member_who_is_stopped_while_ready_counts_as_gone() -> None:
    party = BotParty("p", [0, 1])
    stopped = asyncio.create_task(party.wait_for_members(0, 0.0))
    await asyncio.sleep(0)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    party.leave(0)
    assert await party.wait_for_members(1, 2.0) == PlayRequest(2.0, None)


def test_whether_to_go_on_is_decided_once_for_all() -> None:
    party = BotParty("p", [0, 1])
    answers = iter([True, False])
    asked = [party.plays_again(bot, lambda: next(answers)) for bot in (0, 1, 1, 0)]
    assert asked == [True, True, False, False]


def test_a_party_that_was_split_is_not_whole() -> None:
    parties = BotParties()
    for match in ("m-1", "m-1"):
        parties.record_match(("whole", 2), match)
    for match in ("m-1", "m-2"):
        parties.record_match(("apart", 2), match)
    parties.record_match(("half", 2), "m-3")
    parties.record_match(None, "m-4")
    assert (parties.matched_count, parties.whole_count) == (3, 1)


def test_the_parties_of_a_population_are_those_of_its_scenario() -> None:
    population = draw_population(load_scenario(SHIPPED / "night.yaml"))
    parties = BotParties.of_population(population, "run")
    for first, second in zip(range(len(population)), range(1, len(population)), strict=False):
        together = population.party[first] == population.party[second]
        assert (parties.by_player[first] is parties.by_player[second]) == together
