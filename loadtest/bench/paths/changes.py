"""Changes of players' addresses in mid-match, and how soon each player heard the match again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dedicated_server.protocol.datagrams import TIME_OUT_S
from launchday.percentiles import percentiles
from loadtest.bench.paths.player import Player


@dataclass(slots=True)
class Changes:
    """What has changed for whom.

    Attributes:
        players: of the match.
        noted: of each change whose it was, and when its first datagram left (``time.monotonic``).
    """

    players: Sequence[Player]
    noted: list[tuple[Player, float]] = field(default_factory=list)
    _began: list[Player] = field(default_factory=list)

    def of_socket(self, player: Player) -> None:
        """A player goes on from another socket; its first datagram is yet to leave."""
        self._began.append(player)

    def of_network(self, now_s: float) -> None:
        """The network of all players has changed, and their next datagrams leave now."""
        self.noted += [(player, now_s) for player in self.players]

    def frame(self) -> None:
        """Note which first datagrams have left; called before each frame."""
        for player in [each for each in self._began if each.sent_from_s]:
            self.noted.append((player, player.sent_from_s))
            self._began.remove(player)

    def figures(self, ended_s: float) -> dict[str, Any]:
        """What is printed: how many changes, how soon their players heard the match again, who never did.

        What counts is the longest time without a snapshot from the first datagram on until a second after the
        first snapshot, as that may have come late by the old way. A change less than a second before
        ``ended_s`` is left out.
        """
        judged = [(player, from_s) for player, from_s in self.noted if from_s + 1.0 <= ended_s]
        back_s = [
            player.longest_gap_s(from_s, min(_heard_again(player, from_s), ended_s))
            for player, from_s in judged
        ]
        lost = sum(
            back > TIME_OUT_S or not player.heard_between(from_s, ended_s)
            for back, (player, from_s) in zip(back_s, judged, strict=True)
        )
        found = percentiles(back_s, 50, 95, 100, digits=3, empty=0.0)
        return {"changes": len(judged), "back_s": found, "back_p95_s": found["p95"], "lost": lost}


def _heard_again(player: Player, from_s: float) -> float:
    """A second after the first snapshot that came after a moment."""
    return next((at_s for at_s, _ in player.heard if at_s > from_s), float("inf")) + 1.0
