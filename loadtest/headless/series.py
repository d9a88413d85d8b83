"""Many matches without a network, one seed after the other: who wins, and what is scored."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dedicated_server.cards import ModeCard, read_card
from dedicated_server.protocol.fields import TICK_HZ
from loadtest.headless.match import HeadlessMatch
from loadtest.headless.result import result_of
from loadtest.headless.trace import Recorder
from loadtest.processes import computed


def play_series(
    card: ModeCard,
    matches: int,
    seed: int = 1,
    jobs: int = 1,
    on_match: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Play full matches of the card's own length with seeds counted up, and add them up.

    Args:
        card: of the mode, its hooks compiled before.
        matches: how many.
        seed: of the first.
        jobs: processes to use.
        on_match: is given how many have been played, after each.

    Returns:
        matches; draws; mean_s: seconds of a match; wins: matches by team; win_share: the part of them;
        score: of each field the sum by team; events: how many of each kind.
    """
    load = (str(card.folder),)
    results: list[dict[str, Any]] = [{}] * matches
    if jobs == 1:
        for number in range(matches):
            results[number] = play_one(*load, seed + number)
            on_match(number + 1)
    else:
        tasks = [(*load, seed + number) for number in range(matches)]
        for done, (number, result) in enumerate(computed(play_one, tasks, min(jobs, matches)), start=1):
            results[number] = result
            on_match(done)
    return _sum_up(card, results)


def play_one(folder: str, seed: int) -> dict[str, Any]:
    """Play one full match of a folder's mode and return its result."""
    card = _card(folder)
    headless = HeadlessMatch(card, card.players_full, seed, card.match_s)
    events = Recorder(headless.match)
    for tick in headless.play():
        if tick % TICK_HZ == 0:
            events.note_events()
    events.note_events()
    return result_of(card, headless.match, events.trace())


@functools.cache
def _card(folder: str) -> ModeCard:
    return read_card(Path(folder))


def _sum_up(card: ModeCard, results: list[dict[str, Any]]) -> dict[str, Any]:
    teams = 0 if card.each_alone else card.teams
    wins = [sum(result["winner"] == team for result in results) for team in range(teams)]
    events: Counter[str] = Counter()
    for result in results:
        events.update(result["events"])
    return {
        "mode": card.name,
        "matches": len(results),
        "players": card.players_full,
        "draws": sum(result["winner"] is None for result in results),
        "mean_s": round(sum(result["seconds"] for result in results) / len(results), 1),
        "wins": wins,
        "win_share": [round(won / len(results), 3) for won in wins],
        "score": {
            field.name: [
                sum(result["score"][field.name][team] for result in results) for team in range(teams)
            ]
            for field in card.score
        },
        "events": dict(events),
    }
