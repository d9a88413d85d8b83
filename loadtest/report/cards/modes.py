"""The card of modes: who won the matches of each, what was scored, and which events there were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from loadtest.flood.outcome import RunOutcome
from loadtest.report.html import Card, table, text_card
from loadtest.report.modes import ModeFigures, between, figures_by_mode

NOTE = (
    "Sides in their order, from team 0 on. Winners and events are those that the matches have sent to Kafka, "
    "scores those of the game servers' last reports."
)


def mode_cards(outcome: RunOutcome) -> Iterator[Card]:
    """The card, where a match has told anything."""
    if modes := figures_by_mode(outcome):
        yield text_card("Modes", _matches(modes) + _events(modes), NOTE, wide=True)


def _matches(modes: Sequence[ModeFigures]) -> Markup:
    rows = [
        (
            each.mode,
            f"{each.matches:,}",
            f"{each.players:,}",
            f"{each.kills:,}",
            f"{each.deaths:,}",
            between(each.wins) or "–",
            ", ".join(f"{name} {between(sides)}" for name, sides in each.scores.items()) or "–",
        )
        for each in modes
    ]
    headings = ("mode", "matches", "players", "kills", "deaths", "wins by side", "scores")
    return table(headings, rows, numbers=range(1, 7))


def _events(modes: Sequence[ModeFigures]) -> Markup:
    kinds = sorted({kind for each in modes for kind in each.events})
    if not kinds:
        return Markup("")
    rows = [(kind, *(f"{each.events[kind]:,}" for each in modes)) for kind in kinds]
    return table(("event", *(each.mode for each in modes)), rows, numbers=range(1, 1 + len(modes)))
