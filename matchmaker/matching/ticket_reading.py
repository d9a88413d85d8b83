"""A pool's rows, and the players of running matches, as a rule set reads them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matchmaker.matching.matcher import NO_COMMON_REGION
from matchmaker.matching.pool import Pool
from matchmaker.rules.flexmatch.cycle import unmatchable_reason
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.modes import SearchRules
from matchmaker.tickets.seated import SeatedPlayer
from matchmaker.tickets.ticket import text_ids

RULES_CHANGED = "the rules have changed: make a new ticket"


class TicketReading:
    """Reads tickets for one queue.

    Args:
        rules: the mode's rules.
        regions: names of the fleet's regions, columns of the pool's latencies.
    """

    def __init__(self, rules: SearchRules, regions: Sequence[str]) -> None:
        self._rules = rules
        self._regions = list(regions)
        self._used = set(rules.attributes.used)
        self._teams = [copy for team in rules.rule_set.teams for copy in team.copies]
        self._seated: dict[str, tuple[list[SeatedPlayer], tuple[TicketPlayer, ...] | None]] = {}

    def ticket(self, pool: Pool, rows: Sequence[int], attributes: Sequence[str]) -> FlexMatchTicket | str:
        """Return a player's ticket, or a party's, of its rows in the pool and what each brings; where it can
        never match, why, in plain ASCII without quotes.
        """
        players = []
        for row, stored in zip(rows, attributes, strict=True):
            measured = dict(zip(self._regions, pool.latency_ms[row].tolist(), strict=True))
            player = self._player(int(pool.player_id[row]), None, float(pool.skill[row]), stored, measured)
            if player is None:
                return RULES_CHANGED
            players.append(player)
        [ticket_id] = text_ids(pool.ticket_id[list(rows[:1])])
        ticket = FlexMatchTicket(ticket_id, float(pool.enqueued_at[list(rows)].max()), tuple(players))
        common = set.intersection(*(set(player.latency_ms) for player in players))
        if common and unmatchable_reason(self._rules.rule_set, ticket, self._used) is None:
            return ticket
        return NO_COMMON_REGION if len(players) > 1 else RULES_CHANGED

    def players(self, match_id: str, seated: Sequence[SeatedPlayer]) -> tuple[TicketPlayer, ...] | None:
        """Return who plays in a running match, each with a team; None where the rules can read one of them no
        more.
        """
        known = self._seated.get(match_id)
        if known is None or known[0] != seated:
            known = list(seated), self._read_seated(seated)
            self._seated[match_id] = known
        return known[1]

    def forget_all_but(self, match_ids: Collection[str]) -> None:
        """Forget running matches that are none any more."""
        if len(self._seated) > len(match_ids):
            self._seated = {each: self._seated[each] for each in match_ids if each in self._seated}

    def _read_seated(self, seated: Sequence[SeatedPlayer]) -> tuple[TicketPlayer, ...] | None:
        players = []
        for seat in seated:
            # One team of all is each against all: the game server has a number for each.
            team = self._teams[min(seat.team, len(self._teams) - 1)]
            player = self._player(seat.player_id, team, seat.skill, seat.attributes, seat.latency_ms)
            if player is None:
                return None
            players.append(player)
        return tuple(players)

    def _player(
        self, player_id: int, team: str | None, skill: float, stored: str, latency_ms: Mapping[str, float]
    ) -> TicketPlayer | None:
        """A player as the rules read them; None where their attributes suit the rules no more."""
        try:
            attributes = self._rules.attributes.read(stored, skill)
        except (TypeError, ValueError, LookupError):  # damaged in the cache: it ends alone
            return None
        if attributes is None:
            return None
        most = self._rules.max_latency_ms
        near = {
            region: latency_ms[region]
            for region in self._regions
            if latency_ms.get(region, most + 1.0) <= most
        }
        return TicketPlayer(str(player_id), team, attributes, near)
