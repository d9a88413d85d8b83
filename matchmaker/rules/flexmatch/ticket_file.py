"""Tickets in the shapes of FlexMatch's own calls, read and checked against a rule set."""

from __future__ import annotations

from dataclasses import dataclass

from matchmaker.rules.flexmatch.document import DocumentError, Value, parse
from matchmaker.rules.flexmatch.rule_set import MAX_TICKET_PLAYERS, Attribute, Default, RuleSet
from matchmaker.rules.flexmatch.ticket_documents import start_time, tickets_in

KINDS = {"N": "number", "S": "string", "SL": "string_list", "SDM": "string_number_map"}


@dataclass(frozen=True, slots=True)
class TicketPlayer:
    """A player of a ticket. ``attributes`` include the rule set's defaults; ``team``: where a backfilled
    player already is.
    """

    player_id: str
    team: str | None
    attributes: dict[str, Default]
    latency_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class FlexMatchTicket:
    """A ticket: a player, a party, or, where its players have teams, a running match."""

    ticket_id: str
    start_time: float
    players: tuple[TicketPlayer, ...]

    @property
    def backfill(self) -> bool:
        """Whether it is a running match."""
        return any(player.team is not None for player in self.players)


def read_tickets(text: str, rules: RuleSet) -> list[FlexMatchTicket]:
    """Read a file of tickets; those that no longer wait are left out.

    Raises DocumentError with every mistake in it.
    """
    document = parse(text, "tickets")
    declared = {attribute.name: attribute for attribute in rules.attributes}
    teams = [copy for team in rules.teams for copy in team.copies]
    tickets: list[FlexMatchTicket] = []
    seen_tickets: set[str] = set()
    seen_players: dict[str, str] = {}
    for item in tickets_in(document):
        ticket_id = item.child("TicketId").as_text() or ""
        if ticket_id in seen_tickets:
            item.child("TicketId").add_mistake(f"{ticket_id} is there twice")
        seen_tickets.add(ticket_id)
        start = item.get("StartTime")
        players = [
            player
            for value in item.child("Players").items()
            if (player := _player(value, declared, teams)) is not None
        ]
        for index, player in enumerate(players):
            if player.player_id in seen_players:
                item.child("Players").child(index).add_mistake(
                    f"{player.player_id} is in ticket {seen_players[player.player_id]} already"
                )
            seen_players[player.player_id] = ticket_id
        if item.raw["Players"] == []:
            item.child("Players").add_mistake("needs a player")
        ticket = FlexMatchTicket(ticket_id, (start_time(start) if start else None) or 0.0, tuple(players))
        if not ticket.backfill and len(players) > MAX_TICKET_PLAYERS:
            item.child("Players").add_mistake(
                f"has {len(players)} players; a ticket has at most {MAX_TICKET_PLAYERS}"
            )
        if ticket.backfill and any(player.team is None for player in players):
            item.child("Players").add_mistake("either all players have a Team (a match to backfill) or none")
        tickets.append(ticket)
    if document.mistakes:
        raise DocumentError("tickets", document.mistakes)
    return tickets


def _player(value: Value, declared: dict[str, Attribute], teams: list[str]) -> TicketPlayer | None:
    if not value.as_object(("PlayerId", "Team", "PlayerAttributes", "LatencyInMs"), ("PlayerId",)):
        return None
    player_id = value.child("PlayerId").as_text() or ""
    team = value.get("Team")
    given = value.get("PlayerAttributes")
    attributes = {name: attribute.default for name, attribute in declared.items()}
    if given and given.as_object():
        for name in given.raw:
            attributes[name] = read_attribute(given.child(name), declared.get(name))
    latencies = value.get("LatencyInMs")
    latency_ms: dict[str, float] = {}
    if latencies and latencies.as_object():
        for region in latencies.raw:
            latency_ms[region] = latencies.child(region).as_number(0, text=False) or 0.0
    chosen = team.as_choice(teams) if team else None
    return TicketPlayer(player_id, chosen, attributes, latency_ms)


def read_attribute(value: Value, attribute: Attribute | None) -> Default:
    """Read an attribute's value, such as ``{"N": 23}``; ``attribute`` is its declaration, None where there is
    none.
    """
    if attribute is None:
        value.add_mistake("is not among the rule set's playerAttributes")
        return None
    if not value.as_object(tuple(KINDS)):
        return None
    if len(value.raw) != 1:
        value.add_mistake("must have exactly one of N, S, SL and SDM")
        return None
    key = next(iter(value.raw))
    if KINDS.get(key) is None:
        return None
    member = value.child(key)
    if KINDS[key] != attribute.type:
        member.add_mistake(f"{attribute.name} is a {attribute.type}")
        return None
    if key == "N":
        return member.as_number()
    if key == "S":
        return member.as_text()
    if key == "SL":
        return member.as_texts()
    if not member.as_object():
        return None
    return {name: member.child(name).as_number() or 0.0 for name in member.raw}
