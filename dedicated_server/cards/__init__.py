"""The published card of each mode of play: teams, sizes, map, weapons, scores, and what others may see.

A mode is a folder: ``card.yaml``, ``hooks.py``, ``rule_set.json`` and, if it has one, ``map.yaml``. Those
that ship lie in ``dedicated_server/modes``; ``LAUNCHDAY_MODES`` names folders of others. Nothing here needs
numba or any service, so that everybody may read cards: game server, prediction, bots, matchmaker, simulator.
"""

from __future__ import annotations

from dedicated_server.cards.card import (
    BODY_M,
    MAX_ENTITIES,
    MAX_PLAYERS,
    Base,
    Bots,
    Box,
    ModeCard,
    OwnRows,
    ScoreField,
    Shows,
    Weapon,
    Zone,
)
from dedicated_server.cards.kinds import (
    KIND_FLAG,
    KIND_ITEM,
    KIND_NAMES,
    KIND_OBSTACLE,
    KIND_PLAYER,
    KIND_PROJECTILE,
    OBJECT_KINDS,
)
from dedicated_server.cards.mistakes import CardError, Mistake
from dedicated_server.cards.reading import read_card
from dedicated_server.cards.registry import cards_in_force, shipped_cards, unknown_mode

__all__ = [
    "BODY_M",
    "KIND_FLAG",
    "KIND_ITEM",
    "KIND_NAMES",
    "KIND_OBSTACLE",
    "KIND_PLAYER",
    "KIND_PROJECTILE",
    "MAX_ENTITIES",
    "MAX_PLAYERS",
    "OBJECT_KINDS",
    "Base",
    "Bots",
    "Box",
    "CardError",
    "Mistake",
    "ModeCard",
    "OwnRows",
    "ScoreField",
    "Shows",
    "Weapon",
    "Zone",
    "cards_in_force",
    "read_card",
    "shipped_cards",
    "unknown_mode",
]
