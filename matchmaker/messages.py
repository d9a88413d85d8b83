"""The messages of the matchmaker's HTTP API, one schema each: the routes decode and encode them, and the
client does too.

What a player or a service sends is checked as it is decoded; what does not fit raises
``msgspec.ValidationError``, whose text names the place. ``matchmaker.api.schema`` describes these messages in
the OpenAPI document.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from dedicated_server.cards import MAX_PLAYERS

State = Literal["searching", "proposed", "accepted", "assigned", "cancelled", "expired", "failed"]
SEARCHING: State = "searching"
PROPOSED: State = "proposed"
ASSIGNED: State = "assigned"
FINAL_STATES: tuple[State, ...] = (ASSIGNED, "cancelled", "expired", "failed")

Platform = Literal["pc", "playstation", "xbox", "switch", "mobile"]
PLATFORMS: tuple[Platform, ...] = ("pc", "playstation", "xbox", "switch", "mobile")

MAX_REGIONS = 256  # five times as many as any cloud has
MAX_PARTY = 10
MAX_CLAIM = 4_096  # characters; one of eight members has 600
MAX_BATCH = 500  # tickets made in one call
MAX_ATTRIBUTES = 50  # of one ticket
MAX_ITEMS = 100  # strings of a list, keys of a map
MAX_CHARS = 100  # of a string, and of a key
MAX_CIPHERS = 16  # that a client names
MAX_PLAYER_ID = 2**63 - 1
MAX_REVISION = 2**53 - 1  # what Lua counts exactly

Name = Annotated[str, Meta(min_length=1, max_length=64)]
ItemText = Annotated[str, Meta(min_length=1, max_length=MAX_CHARS)]
Milliseconds = Annotated[float, Meta(ge=0, le=60_000)]
PlayerId = Annotated[int, Meta(ge=1, le=MAX_PLAYER_ID)]
Slot = Annotated[int, Meta(ge=0, lt=MAX_PLAYERS)]
Skill = Annotated[float, Meta(ge=-1e6, le=1e6)]


class AttributeValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An attribute's value by its type, as FlexMatch writes it: exactly one of the fields is set."""

    N: Annotated[float | None, Meta(description="A number.")] = None
    S: Annotated[ItemText | None, Meta(description="A string.")] = None
    SL: Annotated[
        Annotated[list[ItemText], Meta(max_length=MAX_ITEMS)] | None, Meta(description="A string_list.")
    ] = None
    SDM: Annotated[
        Annotated[dict[ItemText, float], Meta(max_length=MAX_ITEMS)] | None,
        Meta(description="A string_number_map."),
    ] = None


class PartyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A party that a ticket belongs to: it is complete when all its players have made their tickets.

    A player's ticket carries the claim that the meta service gave the party when it queued; who is in it and
    what they play is the claim's word. A service that makes tickets names the party itself.
    """

    claim: Annotated[
        str,
        Meta(
            max_length=MAX_CLAIM,
            description="Of GET /v1/party of the meta service, while the party queues.",
            examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"],
        ),
    ] = ""
    party_id: Annotated[
        Name | None, Meta(description="For services: the same for all its players, and theirs alone.")
    ] = None
    size: Annotated[Annotated[int, Meta(ge=2, le=MAX_PARTY)] | None, Meta(description="For services.")] = None


class TicketRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a player asks for."""

    mode: Annotated[str, Meta(max_length=64, examples=["battle_royale"])]
    latencies_ms: Annotated[
        dict[Name, Milliseconds],
        Meta(
            max_length=MAX_REGIONS,
            description="Round trips that the player measured, by region.",
            examples=[{"west-europe": 18.0, "east-us": 88.0}],
        ),
    ]
    platform: Platform = "pc"
    cross_play: Annotated[
        bool,
        Meta(
            description="False: meet only players of the same platform: those who say so too, and those of "
            "it who would cross-play."
        ),
    ] = True
    client_key: Annotated[
        Name | None,
        Meta(
            description="A name of the client's for this request: the same wish under the same name gives "
            "the same ticket while that lives. Measured round trips are no part of the wish."
        ),
    ] = None
    party: Annotated[
        PartyRequest | None,
        Meta(description="Queue together with others; the party waits for all of them."),
    ] = None
    attributes: Annotated[
        Annotated[dict[ItemText, AttributeValue], Meta(max_length=MAX_ATTRIBUTES)] | None,
        Meta(
            description="What the mode's rule set asks of a player, by the names of its playerAttributes; "
            "what is left out has the rule set's default.",
            examples=[{"map": {"S": "harbour"}, "roles": {"SL": ["healer", "tank"]}}],
        ),
    ] = None
    ciphers: Annotated[
        Annotated[list[Name], Meta(max_length=MAX_CIPHERS)],
        Meta(
            description="What the client can seal datagrams with, beside chacha20-poly1305, which every "
            "client has: aegis-128l, where it is to be used if the server has it, too. Other names are "
            "passed over. It is no part of the wish.",
            examples=[["chacha20-poly1305", "aegis-128l"]],
        ),
    ] = msgspec.field(default_factory=list)


class PlayerTicketRequest(TicketRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a service asks for on a player's behalf."""

    player_id: PlayerId


class TicketBatchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tickets for many players in one call."""

    tickets: Annotated[list[PlayerTicketRequest], Meta(min_length=1, max_length=MAX_BATCH)]


class BatchedTicket(msgspec.Struct, frozen=True):
    """What became of one ticket of a batch; ``detail`` says why it was not made, and of a ``busy`` player who
    asks for something else under the same client key that this is so.
    """

    player_id: int
    ticket_id: UUID | None
    outcome: Literal["created", "repeated", "busy", "mismatch", "in-match", "refused"]
    detail: str = ""


class TicketBatch(msgspec.Struct, frozen=True):
    """The answer to a batch, in the order of its requests."""

    tickets: list[BatchedTicket]


class TicketCreated(msgspec.Struct, frozen=True):
    """The answer to a creation; ``created_at`` is Unix seconds."""

    ticket_id: UUID
    state: State
    created_at: float


class Assignment(msgspec.Struct, frozen=True):
    """Where a player's match is."""

    match_id: str
    region: str
    address: str
    port: int
    connect_token: Annotated[str, Meta(description="Base64; opens the game server for this player alone.")]
    team: int
    entity: Annotated[int, Meta(description="The player's slot in the match.")]
    mode: Annotated[
        str,
        Meta(
            description="What the match is played in, which says on which map a client predicts. It may have "
            "another name than the queue. Empty in an assignment of an earlier release."
        ),
    ] = ""
    other_address: Annotated[
        str,
        Meta(
            description="Address of the other family, at the same port, for clients whose network has no way "
            "to the first; empty: the server has none."
        ),
    ] = ""


class TicketView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a player reads of a ticket."""

    ticket_id: str
    state: State
    reason: str | None
    assignment: Assignment | None
    requeued_as: Annotated[
        str | None,
        Meta(
            description="Where the match was lost with its game server: a new ticket as old as this. "
            "It is searched for once the player reads it, and ends if they do not for a minute."
        ),
    ] = None
    accept_by: Annotated[
        float | None, Meta(description="While proposed: Unix seconds until when to accept.")
    ] = None
    cancel_requested: Annotated[
        bool,
        Meta(
            description="While its match is getting a server: the player has cancelled. The ticket ends "
            "instead of searching again, or is assigned after all."
        ),
    ] = False

    @property
    def final(self) -> bool:
        """Whether the ticket has its end."""
        return self.state in FINAL_STATES

    @property
    def lost(self) -> bool:
        """Whether the match that the ticket was assigned to was lost with its game server."""
        return self.state == ASSIGNED and self.reason is not None

    @property
    def accept_requested(self) -> bool:
        """Whether the player is asked to accept a match."""
        return self.state == PROPOSED and self.accept_by is not None


class FreeSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slot of a running match that nobody has: its entity, and its team."""

    entity: Slot
    team: Slot


class BackfillRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The free slots of a running match.

    Its game server repeats the request once a second; one that is not repeated for 5 s is void.
    """

    mode: Name
    region: Name
    address: Annotated[
        str,
        Meta(
            description="IP address of the game server, as connect tokens name it.",
            extra_json_schema={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535)]
    group: Annotated[
        int, Meta(ge=0, le=255, description="Whom its players meet, as the match's terms of backfill said.")
    ]
    skill_lowest: Skill
    skill_highest: Skill
    opened_at: Annotated[
        float,
        Meta(ge=0, le=1e12, description="Unix seconds; the match that is open longest is filled first."),
    ]
    revision: Annotated[
        int,
        Meta(
            ge=1, le=MAX_REVISION, description="Grows with each request: one that comes late changes nothing."
        ),
    ]
    slots: Annotated[list[FreeSlot], Meta(max_length=MAX_PLAYERS)]
    admitted: Annotated[
        list[UUID], Meta(max_length=MAX_PLAYERS, description="Proposals whose players may connect.")
    ] = []
    rejected: Annotated[
        list[UUID], Meta(max_length=MAX_PLAYERS, description="Proposals whose players may not come.")
    ] = []
    excluded: Annotated[
        list[PlayerId],
        Meta(
            max_length=MAX_PLAYERS,
            description="Players who may not come (again): they left, or were rejected.",
        ),
    ] = []
    over: Annotated[bool, Meta(description="The match is decided: nobody comes any more.")] = False
    other_address: Annotated[
        str, Meta(description="Its IP address of the other family, at the same port; empty: it has none.")
    ] = ""

    def __post_init__(self) -> None:
        version = ipaddress.ip_address(self.address).version
        if self.other_address and ipaddress.ip_address(self.other_address).version == version:
            raise ValueError("other_address must be of the other family than address")
        if self.skill_lowest > self.skill_highest:
            raise ValueError("skill_lowest must not be above skill_highest")
        if len({slot.entity for slot in self.slots}) != len(self.slots):
            raise ValueError("a slot is listed twice")


class BackfillPlayer(msgspec.Struct, frozen=True):
    """A player for a running match, and the slot that is reserved for them."""

    player_id: int
    entity: int
    team: int
    waited_s: float
    skill: float


class BackfillProposal(msgspec.Struct, frozen=True):
    """Players for free slots of a running match; they come together or not at all.

    ``state``: ``offered`` (slots are reserved for them, and the match is to admit them), ``admitted`` (it
    has), ``assigned`` (the players know where to go).
    """

    proposal_id: str
    state: Literal["offered", "admitted", "assigned"]
    players: list[BackfillPlayer]


class BackfillAnswer(msgspec.Struct, frozen=True):
    """Who is to come into a match: check them out, open their slots, and name the proposal as admitted; or
    reject it.
    """

    proposals: list[BackfillProposal]


class TicketWhy(msgspec.Struct, frozen=True):
    """Why a ticket has no match, or what it has instead.

    Attributes:
        ticket_id, mode, state: the ticket's.
        waited_s: seconds since it was made.
        says: one sentence.
        why: of a ticket that is searched for, what its director found out: the rules that turned others away,
            what is short, and the smallest changes that would have matched it. None for all others.
    """

    ticket_id: str
    mode: str
    state: State
    waited_s: float
    says: str
    why: dict[str, Any] | None = None


class WaitPercentiles(msgspec.Struct, frozen=True):
    """Seconds from a ticket's creation to its assignment."""

    p50: float
    p95: float
    max: float


class LatencyPercentiles(msgspec.Struct, frozen=True):
    """Round trips of players to the region of their match, in milliseconds."""

    p50: float
    p95: float


class MatchmakerCounters(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the cache was empty. At every instant queued = matched + cancelled + expired + failed +
    searching.

    ``searching`` is counted from the live tickets themselves, not derived from the others.
    """

    queued: int = 0
    matched: int = 0
    cancelled: int = 0
    expired: int = 0
    failed: int = 0
    searching: Annotated[
        int, Meta(description="Tickets without an end, those whose match waits for a server included.")
    ]
    matches: int = 0
    requeued: Annotated[
        int,
        Meta(
            description="Of queued: tickets made because a match was lost, as old as the ones before. "
            "Their waits count from when those were made."
        ),
    ] = 0
    reclaimed: Annotated[int, Meta(description="Of requeued: tickets whose players came back for them.")] = 0
    abandoned: Annotated[
        int, Meta(description="Of requeued: tickets that ended before their players came back.")
    ] = 0
    backdated: Annotated[
        int, Meta(description="Tickets of players of lost matches who had queued again by themselves.")
    ] = 0
    backfilled: Annotated[int, Meta(description="Of those matched, into running matches.")] = 0
    silent: Annotated[
        int, Meta(description="Of cancelled: tickets that nobody looked at any more, with their parties.")
    ] = 0
    logged_out: Annotated[
        int,
        Meta(description="Of cancelled: tickets whose player's session was ended, with their parties."),
    ] = 0
    party_changed: Annotated[
        int, Meta(description="Of cancelled: tickets of parties that changed after they had queued.")
    ] = 0
    in_match: Annotated[
        int, Meta(description="Requests refused because their player is in a match; they made no ticket.")
    ] = 0
    given_up: Annotated[
        dict[str, int],
        Meta(description="Matches that were closed before their players were assigned, by reason."),
    ] = {}
    wait_s: WaitPercentiles
    latency_ms: LatencyPercentiles


class QueueDepth(msgspec.Struct, frozen=True):
    """What waits in a queue, for whoever scales the fleet.

    Attributes:
        at: Unix seconds.
        searching: players, by the region nearest to them.
        without_server: matches that were formed and have no server.
        oldest_s: seconds that the oldest ticket has waited.
        placing: matches whose server is being asked for, or is late.
        given_up: matches that were given up since the queue has this director, by reason.
        regions_waiting: regions that have no server to give now, and why.
        cut: tickets that the last cycle had no work left for; the next one begins with them.
    """

    at: float
    searching: dict[str, int]
    without_server: int
    oldest_s: float
    placing: int = 0
    given_up: dict[str, int] = {}
    regions_waiting: dict[str, str] = {}
    cut: int = 0
