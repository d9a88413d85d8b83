"""A player's way back into the match that they are in: where it is, and a newer token for their seat."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.settings import Settings
from matchmaker.api.skills import HeldPlayer
from matchmaker.messages import Assignment
from matchmaker.queue.ticket_store import StoredTicket
from matchmaker.rules.modes import QueueMode
from matchmaker.tickets import seats

IN_MATCH = "you are in a match: come back to it with the assignment given here, or wait until it has ended"


class Rejoin:
    """Renews assignments.

    Args:
        settings: the fleet's key, and how long tokens live.
        modes: how long their matches last.
        clock: dates tokens, and draws their nonces.
    """

    def __init__(self, settings: Settings, modes: Mapping[str, QueueMode], clock: Clock) -> None:
        self._fleet_key = settings.fleet_key_bytes
        self._token_ttl_s = settings.connect_token_ttl_s  # beyond the longest match of the mode
        self._modes = modes
        self._clock = clock

    def renewed(self, ticket: StoredTicket, assignment: Assignment) -> Assignment:
        """Return a ticket's assignment with a newer token. Raises ProblemError where no key is known."""
        if not self._fleet_key:
            raise ProblemError(
                503, "no-fleet-key", "this matchmaker has no LAUNCHDAY_FLEET_KEY: tell its operator"
            )
        mode = self._modes.get(ticket.mode)
        ttl_s = (mode.rules.match_s if mode is not None else 0.0) + self._token_ttl_s
        return seats.renewed(
            self._fleet_key, ttl_s, assignment, ticket.player_id, self._clock, self._clock.wall()
        )

    def problem(self, held: HeldPlayer, last: StoredTicket | None) -> ProblemError:
        """Return the refusal of a player who is in a match, with an assignment to come back with where their
        last ticket is that match's: it keeps the server's address for as long as the match may last.
        """
        assignment = None
        known = None if last is None else last.view.assignment
        if last is not None and known is not None and known.match_id == held.match_id and self._fleet_key:
            assignment = self.renewed(last, known)
        return ProblemError(
            409,
            "in-match",
            IN_MATCH,
            match_id=held.match_id,
            region=None if assignment is None else assignment.region,
            until=held.until,
            assignment=None if assignment is None else msgspec.to_builtins(assignment),
        )
