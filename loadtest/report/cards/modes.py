"""The card of modes: who won the matches of each, what was scored, and which events there were."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.flood.outcome import RunOutcome
from loadtest.report.html import Card, table, text_card
from loadtest.report.modes import between, figures_by_mode

NOTE = (
    "Sides in their order, from team 0 on. Winners and events are those that the matches have sent to Kafka, "
    "scores those of the game servers' last reports."
)


def mode_cards(outcome: RunOutcome) -> Iterator[Card]:
    """The card, where a match has told anything."""
    rows = [
        (
            each.mode,
            f"{each.matches:,}",
            f"{each.players:,}",
            f"{each.kills:,}",
            f"{each.deaths:,}",
            between(each.wins) or "–",
            ", ".join(f"{name} {between(sides)}" for name, sides in each.scores.items()) or "–",
            ", ".join(f"{count:,} {kind}" for kind, count in sorted(each.events.items())) or "–",
        )
        for each in figures_by_mode(outcome)
    ]
    if rows:
        headings = ("mode", "matches", "players", "kills", "deaths", "wins by side", "scores", "events")
        yield text_card("Modes", table(headings, rows, numbers=range(1, 5)), NOTE, wide=True)
