"""Who asks: nobody, players, services, operators, viewers, and somebody with a token that is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import requests

from launchday import identity
from launchday.clock import Clock

TOKEN_S = 6 * 3600.0
PLAYERS = 4
ROLES = (identity.SERVICE, identity.OPERATOR, identity.VIEWER)
WEIGHTS = {
    "player": 5.0,
    identity.SERVICE: 4.0,
    identity.OPERATOR: 4.0,
    identity.VIEWER: 1.0,
    "nobody": 1.0,
    "forged": 0.5,
}
SHUT = 0.05  # of that, for who was turned away there: before anything is read


@dataclass
class Callers:
    """Headers for each kind of caller.

    Args:
        signer: signs for services and operators.
        clock: dates their tokens.
        meta_url: where players log in; empty: there are none.
    """

    signer: identity.Signer
    clock: Clock
    meta_url: str = ""
    _players: list[str] = field(default_factory=list)
    _logins: int = 0
    _shut: set[tuple[str, str]] = field(default_factory=set)

    def headers(self, operation: str, random: Random) -> tuple[str, dict[str, str]]:
        """Choose a caller of an operation; return the kind and the headers."""
        weights = {
            kind: weight * (SHUT if (operation, kind) in self._shut else 1.0)
            for kind, weight in WEIGHTS.items()
            if kind != "player" or self.meta_url
        }
        kind = random.choices(list(weights), list(weights.values()))[0]
        token: str = "" if kind == "nobody" else "no.valid.token"
        if kind == "player":
            token = self._player(random)
        elif kind in ROLES:
            token = self.signer.service_token("fuzz", self.clock.wall(), TOKEN_S, roles=(kind,))
        return kind, {"Authorization": f"Bearer {token}"} if token else {}

    def answered(self, operation: str, kind: str, headers: dict[str, str], status: int) -> None:
        """Learn who is turned away where, and whose session is over."""
        if kind == "player" and status == 401:
            ended = headers.get("Authorization", "").removeprefix("Bearer ")
            self._players = [token for token in self._players if token != ended]
        elif status in (401, 403):
            self._shut.add((operation, kind))

    def _player(self, random: Random) -> str:
        """A player's token; anew now and then, as some of what is tried ends the session."""
        if len(self._players) >= PLAYERS and random.random() < 0.9:
            return random.choice(self._players)
        self._logins += 1
        answer = requests.post(
            f"{self.meta_url}/v1/login/device",
            json={"device_id": f"fuzz-{random.getrandbits(64):016x}-{self._logins}"},
            timeout=10,
        )
        if answer.status_code != 200:  # shed: ask as one who was logged in
            return random.choice(self._players) if self._players else ""
        self._players = [*self._players[-PLAYERS + 1 :], answer.json()["session_token"]]
        return self._players[-1]
