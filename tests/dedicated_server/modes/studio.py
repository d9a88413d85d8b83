"""Folders of a studio's modes for tests: a copy of one that ships, with hooks of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from dedicated_server.cards import ModeCard, read_card
from dedicated_server.modes.loading import SHIPPED


def studio_mode(folder: Path, hooks: str, name: str = "relay", like: str = "teams_of_five") -> ModeCard:
    """Write a mode of that name below ``folder``, with the card of a mode that ships, and read its card."""
    mine = folder / name
    shutil.copytree(SHIPPED / like, mine, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    card = (mine / "card.yaml").read_text().replace(f"name: {like}", f"name: {name}")
    (mine / "card.yaml").write_text(card)
    (mine / "hooks.py").write_text(hooks)
    return read_card(mine)
