"""The cards that there are: those that ship, and those of the folders that an operator names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dedicated_server.cards.card import ModeCard
from dedicated_server.cards.mistakes import CardError, Mistake, meant
from dedicated_server.cards.reading import CARD, read_card

SETTING: Final = "LAUNCHDAY_MODES"
SHIPPED: Final = Path(__file__).parent.parent / "modes"
MAX_FOLDERS: Final = 64


@functools.cache
def shipped_cards() -> Mapping[str, ModeCard]:
    """The cards of the modes that ship, by name. Raises CardError."""
    folders = sorted(path.parent for path in SHIPPED.glob(f"*/{CARD}"))
    return MappingProxyType({card.name: card for card in map(read_card, folders)})


@functools.cache
def cards_in_force(modes: str = "") -> Mapping[str, ModeCard]:
    """The cards that ship, then those of the folders named, with commas between them; by name.

    They are read once. Raises CardError with every mistake of all of them.
    """
    cards = dict(shipped_cards())
    shipped = set(cards)
    lines: list[str] = []
    mistakes: list[Mistake] = []
    folders = [each.strip() for each in modes.split(",") if each.strip()]
    if len(folders) > MAX_FOLDERS:
        raise CardError([f"{SETTING}: names {len(folders)} folders; {MAX_FOLDERS} are the most"], [])
    for folder in folders:
        try:
            card = read_card(folder)
        except CardError as error:
            mistakes += error.mistakes
            lines += [f"{SETTING}: {line}" for line in str(error).splitlines()]
            continue
        if card.name in cards:
            what = "a mode that ships" if card.name in shipped else f"{cards[card.name].folder} too"
            mistake = Mistake("name", f"{card.name} is the name of {what}: give it another")
            mistakes.append(mistake)
            lines.append(f"{SETTING}: {card.folder}/{mistake}")
            continue
        cards[card.name] = card
    if lines:
        raise CardError(lines, mistakes)
    return MappingProxyType(cards)


def unknown_mode(name: str, cards: Mapping[str, ModeCard]) -> str:
    """Why there is no such mode, in words that follow its name: which there are, and which may be meant."""
    known = sorted(cards)
    return f"is no mode; there are {', '.join(known)}{meant(name, known)}"
