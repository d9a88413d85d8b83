from __future__ import annotations

import asyncio

from loadtest.parties import Parties, Party, Play
from loadtest.population import draw
from loadtest.scenario_file import SHIPPED, load


async def test_a_party_presses_play_when_its_last_member_is_ready() -> None:
    party = Party("p", [4, 5, 6])
    first, second = (asyncio.create_task(party.gather(bot, bot / 10)) for bot in (4, 5))
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    assert await party.gather(6, 0.2) == Play(0.5, ("p-1", 3))  # as of when the last of them meant to
    assert await first == await second == Play(0.5, ("p-1", 3))


async def test_each_match_of_a_party_has_a_name_of_its_own() -> None:
    party = Party("p", [0, 1])
    names = []
    for _ in range(3):
        plays = await asyncio.gather(party.gather(0, 0.0), party.gather(1, 0.0))
        names.append({play.wish for play in plays})
    assert names == [{("p-1", 2)}, {("p-2", 2)}, {("p-3", 2)}]


async def test_who_goes_home_is_not_waited_for_and_the_last_plays_alone() -> None:
    party = Party("p", [0, 1, 2])
    waiting = [asyncio.create_task(party.gather(bot, 1.0)) for bot in (0, 1)]
    await asyncio.sleep(0)
    party.leave(2)
    assert [await each for each in waiting] == [Play(1.0, ("p-1", 2))] * 2
    party.leave(0)
    assert await party.gather(1, 7.0) == Play(7.0, None)


async def test_a_member_who_is_stopped_while_ready_counts_as_gone() -> None:
    party = Party("p", [0, 1])
    stopped = asyncio.create_task(party.gather(0, 0.0))
    await asyncio.sleep(0)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    party.leave(0)
    assert await party.gather(1, 2.0) == Play(2.0, None)


def test_whether_to_go_on_is_decided_once_for_all() -> None:
    party = Party("p", [0, 1])
    answers = iter([True, False])
    asked = [party.goes_on(bot, lambda: next(answers)) for bot in (0, 1, 1, 0)]
    assert asked == [True, True, False, False]


def test_a_party_that_was_split_is_not_whole() -> None:
    parties = Parties()
    for match in ("m-1", "m-1"):
        parties.matched(("whole", 2), match)
    for match in ("m-1", "m-2"):
        parties.matched(("apart", 2), match)
    parties.matched(("half", 2), "m-3")
    parties.matched(None, "m-4")
    assert (parties.placed, parties.whole) == (3, 1)


def test_the_parties_of_a_population_are_those_of_its_scenario() -> None:
    population = draw(load(SHIPPED / "night.yaml"))
    parties = Parties.of_population(population, "run")
    for first, second in zip(range(len(population)), range(1, len(population)), strict=False):
        together = population.party[first] == population.party[second]
        assert (parties.of[first] is parties.of[second]) == together
