"""docs/modes.md is made of the cards of the modes that ship: ``make docs`` writes it anew. And what
docs/writing-a-mode.md says of a card's keys is complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from dedicated_server.cards import ModeCard, Weapon, shipped_cards
from dedicated_server.cards.reading import KEYS
from tests.walks import ROOT

PAGE = ROOT / "docs" / "modes.md"
GUIDE = ROOT / "docs" / "writing-a-mode.md"
RENEW = "RENEW_DOCUMENTS" in os.environ
HEAD = """# The modes that ship

<!-- Made of the modes' cards by make docs; a test compares. -->

Each is a folder below `dedicated_server/modes`: `card.yaml` has the numbers of this page, which the game
servers, the clients' prediction, the matchmaker, the simulator and the load test's players read there and
nowhere else; `hooks.py` what happens in a match; `rule_set.json` who plays with whom; `map.yaml`, where it
has one, its boxes and bases. A mode of your own is such a folder too, which `LAUNCHDAY_MODES` names:
[writing a mode](writing-a-mode.md).

"""


def size(card: ModeCard) -> str:
    by = ", both by the settings" if card.sized_by_settings else ""
    if card.players_min == card.players_full:
        return f"{card.players_full}"
    return f"{card.players_min} to {card.players_full}{by}; short after {card.fill_s:g} s"


def teams(card: ModeCard) -> str:
    span = f"{card.team_size_min} to {card.team_size_max}"
    if card.team_size_min == card.team_size_max:
        span = f"{card.team_size_max}"
    return "each alone" if card.each_alone else f"{card.teams} of {span}"


def zone(card: ModeCard) -> str:
    if card.zone.hold_share == 1.0:
        return "only the clock"
    return (
        f"closes after {card.zone.hold_share:.0%} of the match, {card.zone.points_per_s:g} points/s outside"
    )


def shown(card: ModeCard) -> str:
    return f"health: {card.shows.health}, connection: {card.shows.connection}"


def weapon(each: Weapon) -> str:
    return (
        f"{each.name}: {each.damage_points:g} points, every {each.interval_ticks} ticks, {each.range_m:g} m"
    )


def listed(items: list[str]) -> str:
    return "; ".join(items) or "–"


ROWS: tuple[tuple[str, Callable[[ModeCard], str]], ...] = (
    ("players", size),
    ("teams", teams),
    ("lasts at most", lambda card: f"{card.match_s:g} s"),
    ("free slots are filled for", lambda card: f"{card.backfill_until:.0%} of it"),
    ("full speed", lambda card: f"{card.speed_m_per_s:g} m/s"),
    ("map", lambda card: f"{2 * card.map_half_m:g} m square, {len(card.boxes)} boxes"),
    ("begin", lambda card: "at the teams' bases" if card.bases else "around the zone's centre"),
    ("zone", zone),
    (
        "weapons",
        lambda card: listed([weapon(each) for each in card.weapons]),
    ),
    ("the dead return", lambda card: f"after {card.respawn_s:g} s" if card.respawn_s else "never"),
    (
        "score of a team",
        lambda card: listed(
            [f"{each.name}" + (f", to {each.limit}" if each.limit else "") for each in card.score]
        ),
    ),
    ("objects", lambda card: listed([f"{number} × {kind}" for kind, number in card.objects.items()])),
    ("others see", shown),
    ("bots go", lambda card: "for what its hook says" if card.bots.goal == "hook" else "to the zone"),
    ("events of its own", lambda card: listed([f"`{kind}`" for kind in card.events])),
)


def page() -> str:
    cards = shipped_cards().values()
    lines = [f"- `{card.name}`: {card.description}" for card in cards]
    table = [f"| | {' | '.join(f'`{card.name}`' for card in cards)} |", "|---" * (len(cards) + 1) + "|"]
    table += [f"| {what} | {' | '.join(of(card) for card in cards)} |" for what, of in ROWS]
    return HEAD + "\n".join([*lines, "", *table]) + "\n"


def test_the_page_of_modes_is_made_of_their_cards() -> None:
    if RENEW:
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/modes.md is older than the cards: make docs"


def test_the_guide_names_every_key_of_a_card() -> None:
    table = GUIDE.read_text(encoding="utf-8").split("| key | meaning |")[1].split("\n\n")[0]
    named = {
        key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")
    }
    assert named == set(KEYS)
