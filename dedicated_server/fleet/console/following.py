"""Following one player: who it is, what happened to them last, and that they have gone."""

from __future__ import annotations

from typing import Any

from dedicated_server.fleet.console.camera import is_there
from dedicated_server.fleet.console.teams import team_tag
from dedicated_server.fleet.console.text import shown

LAST = 3  # deaths of others and of their own that are told


class Following:
    """Whom a visitor follows; None: nobody.

    Attributes:
        entity: the player's.
        farewell: says that following has ended by itself, and why; "" else.
    """

    def __init__(self) -> None:
        self.entity: int | None = None
        self.farewell = ""
        self._player_id = ""
        self._name = ""

    def choose(self, player: dict[str, Any] | None) -> None:
        """Follow another, or nobody."""
        self.farewell = ""
        self.entity = None if player is None else int(player["entity"])
        if player is not None:
            self._player_id, self._name = str(player["player_id"]), name_of(player)

    def step(self, frame: dict[str, Any], by: int) -> None:
        """Follow the next player, or the one before (``by`` −1), of those who play."""
        taken = [one for one in frame["players"] if is_there(one)]
        if not taken:
            return
        entities = [one["entity"] for one in taken]
        at = entities.index(self.entity) if self.entity in entities else (-1 if by > 0 else 0)
        self.choose(taken[(at + by) % len(taken)])

    def player(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """Return the followed player; following ends when their slot is empty, or another's."""
        if self.entity is None:
            return None
        players: list[dict[str, Any]] = frame["players"]
        found = next((one for one in players if one["entity"] == self.entity), None)
        if found is None or not is_there(found) or str(found["player_id"]) != self._player_id:
            self.entity, self.farewell = None, f"{self._name} has left: nobody is followed now."
            return None
        return found

    def describe(self, frame: dict[str, Any]) -> str:
        """Return what to say of the followed player, as HTML; "" where nothing is to be said."""
        player = self.player(frame)
        if player is None:
            return f'<span class="ld-note">{shown(self.farewell)}</span>' if self.farewell else ""
        each_alone = bool(frame.get("each_alone", False))
        state = f"{player['health']} hp" if player["alive"] else "dead"
        if not player["connected"]:
            state += ", not connected"
        parts = [
            f'<span class="ld-followed">{team_tag(player["team"], each_alone)}'
            f"<bdi>{shown(name_of(player))}</bdi></span>",
            f"<span>{shown(state)}</span>",
            f"<span>{counted(player['kills'], 'kill')}, {counted(player['deaths'], 'death')}</span>",
        ]
        parts += [f"<span>{line}</span>" for line in self._carried(frame)]
        parts += [f"<span>{line}</span>" for line in self._told(frame)]
        return "".join(parts)

    def _carried(self, frame: dict[str, Any]) -> list[str]:
        return [
            f"carries the flag of {team_tag(one['team'])}"
            for one in frame.get("objects", ())
            if one["kind"] == "flag" and one["carrier"] == self.entity
        ]

    def _told(self, frame: dict[str, Any]) -> list[str]:
        """Say whom they have killed lately, and who has killed them, the newest first."""
        lines = []
        for one in reversed(frame.get("news", ())):
            if one["victim"] == self.entity and one["kind"] in ("kill", "death"):
                by = "died" if one["actor"] is None else f"killed by <bdi>{shown(one['actor_name'])}</bdi>"
                lines.append(by)
            elif one["actor"] == self.entity and one["kind"] == "kill":
                lines.append(f"killed <bdi>{shown(one['victim_name'])}</bdi>")
        return lines[:LAST]


def counted(number: int, what: str) -> str:
    """Return a number of things as HTML, ``what`` in the singular."""
    return f"<b>{number}</b> {what}{'' if number == 1 else 's'}"


def name_of(player: dict[str, Any]) -> str:
    """Return a player's name; their number where they have none."""
    return str(player.get("name") or f"player {player['player_id']}")
