# ruff: noqa
# fmt: off
# mypy: disable-error-code="type-arg, misc"
from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
TOPIC_FIELD_NUMBER: _ClassVar[int]
topic: _descriptor.FieldDescriptor
KEY_FIELD_NUMBER: _ClassVar[int]
key: _descriptor.FieldDescriptor
PRIORITY_FIELD_NUMBER: _ClassVar[int]
priority: _descriptor.FieldDescriptor
IN_MATCH_FIELD_NUMBER: _ClassVar[int]
in_match: _descriptor.FieldDescriptor
DIFFERENT_FIELD_NUMBER: _ClassVar[int]
different: _descriptor.FieldDescriptor
BOUNDS_FIELD_NUMBER: _ClassVar[int]
bounds: _descriptor.FieldDescriptor
MAX_COUNT_FIELD_NUMBER: _ClassVar[int]
max_count: _descriptor.FieldDescriptor
DISTINCT_FIELD_NUMBER: _ClassVar[int]
distinct: _descriptor.FieldDescriptor

class Bounds(_message.Message):
    __slots__ = ("least", "most")
    LEAST_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    least: float
    most: float
    def __init__(self, least: _Optional[float] = ..., most: _Optional[float] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("event_id", "match_id", "region", "tick", "producer", "occurred_at", "needs", "match_started", "match_ended", "kill", "death", "xp_granted", "player_connected", "player_disconnected", "damage_summary", "level_up", "purchase", "loadout_changed", "server_lifecycle", "flag_captured")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    MATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    MATCH_STARTED_FIELD_NUMBER: _ClassVar[int]
    MATCH_ENDED_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    DEATH_FIELD_NUMBER: _ClassVar[int]
    XP_GRANTED_FIELD_NUMBER: _ClassVar[int]
    PLAYER_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    PLAYER_DISCONNECTED_FIELD_NUMBER: _ClassVar[int]
    DAMAGE_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    LEVEL_UP_FIELD_NUMBER: _ClassVar[int]
    PURCHASE_FIELD_NUMBER: _ClassVar[int]
    LOADOUT_CHANGED_FIELD_NUMBER: _ClassVar[int]
    SERVER_LIFECYCLE_FIELD_NUMBER: _ClassVar[int]
    FLAG_CAPTURED_FIELD_NUMBER: _ClassVar[int]
    event_id: bytes
    match_id: bytes
    region: str
    tick: int
    producer: str
    occurred_at: float
    needs: int
    match_started: MatchStarted
    match_ended: MatchEnded
    kill: Kill
    death: Death
    xp_granted: XpGranted
    player_connected: PlayerConnected
    player_disconnected: PlayerDisconnected
    damage_summary: DamageSummary
    level_up: LevelUp
    purchase: Purchase
    loadout_changed: LoadoutChanged
    server_lifecycle: ServerLifecycle
    flag_captured: FlagCaptured
    def __init__(self, event_id: _Optional[bytes] = ..., match_id: _Optional[bytes] = ..., region: _Optional[str] = ..., tick: _Optional[int] = ..., producer: _Optional[str] = ..., occurred_at: _Optional[float] = ..., needs: _Optional[int] = ..., match_started: _Optional[_Union[MatchStarted, _Mapping]] = ..., match_ended: _Optional[_Union[MatchEnded, _Mapping]] = ..., kill: _Optional[_Union[Kill, _Mapping]] = ..., death: _Optional[_Union[Death, _Mapping]] = ..., xp_granted: _Optional[_Union[XpGranted, _Mapping]] = ..., player_connected: _Optional[_Union[PlayerConnected, _Mapping]] = ..., player_disconnected: _Optional[_Union[PlayerDisconnected, _Mapping]] = ..., damage_summary: _Optional[_Union[DamageSummary, _Mapping]] = ..., level_up: _Optional[_Union[LevelUp, _Mapping]] = ..., purchase: _Optional[_Union[Purchase, _Mapping]] = ..., loadout_changed: _Optional[_Union[LoadoutChanged, _Mapping]] = ..., server_lifecycle: _Optional[_Union[ServerLifecycle, _Mapping]] = ..., flag_captured: _Optional[_Union[FlagCaptured, _Mapping]] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("x_m", "y_m")
    X_M_FIELD_NUMBER: _ClassVar[int]
    Y_M_FIELD_NUMBER: _ClassVar[int]
    x_m: float
    y_m: float
    def __init__(self, x_m: _Optional[float] = ..., y_m: _Optional[float] = ...) -> None: ...

class RosterEntry(_message.Message):
    __slots__ = ("player_id", "team", "waited_s")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    WAITED_S_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    team: int
    waited_s: float
    def __init__(self, player_id: _Optional[int] = ..., team: _Optional[int] = ..., waited_s: _Optional[float] = ...) -> None: ...

class MatchStarted(_message.Message):
    __slots__ = ("mode", "seed", "players", "quality")
    MODE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PLAYERS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    mode: str
    seed: int
    players: _containers.RepeatedCompositeFieldContainer[RosterEntry]
    quality: float
    def __init__(self, mode: _Optional[str] = ..., seed: _Optional[int] = ..., players: _Optional[_Iterable[_Union[RosterEntry, _Mapping]]] = ..., quality: _Optional[float] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("player_id", "team", "placement", "kills", "played_s")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    KILLS_FIELD_NUMBER: _ClassVar[int]
    PLAYED_S_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    team: int
    placement: int
    kills: int
    played_s: float
    def __init__(self, player_id: _Optional[int] = ..., team: _Optional[int] = ..., placement: _Optional[int] = ..., kills: _Optional[int] = ..., played_s: _Optional[float] = ...) -> None: ...

class MatchEnded(_message.Message):
    __slots__ = ("mode", "duration_s", "placements")
    MODE_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    PLACEMENTS_FIELD_NUMBER: _ClassVar[int]
    mode: str
    duration_s: float
    placements: _containers.RepeatedCompositeFieldContainer[Placement]
    def __init__(self, mode: _Optional[str] = ..., duration_s: _Optional[float] = ..., placements: _Optional[_Iterable[_Union[Placement, _Mapping]]] = ...) -> None: ...

class Kill(_message.Message):
    __slots__ = ("killer_id", "victim_id", "weapon", "distance_m", "killer_at", "victim_at", "assist_ids")
    KILLER_ID_FIELD_NUMBER: _ClassVar[int]
    VICTIM_ID_FIELD_NUMBER: _ClassVar[int]
    WEAPON_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_M_FIELD_NUMBER: _ClassVar[int]
    KILLER_AT_FIELD_NUMBER: _ClassVar[int]
    VICTIM_AT_FIELD_NUMBER: _ClassVar[int]
    ASSIST_IDS_FIELD_NUMBER: _ClassVar[int]
    killer_id: int
    victim_id: int
    weapon: str
    distance_m: float
    killer_at: Position
    victim_at: Position
    assist_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, killer_id: _Optional[int] = ..., victim_id: _Optional[int] = ..., weapon: _Optional[str] = ..., distance_m: _Optional[float] = ..., killer_at: _Optional[_Union[Position, _Mapping]] = ..., victim_at: _Optional[_Union[Position, _Mapping]] = ..., assist_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Death(_message.Message):
    __slots__ = ("victim_id", "cause", "at", "survived_s")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Death.Cause]
        CAUSE_KILLED: _ClassVar[Death.Cause]
        CAUSE_ZONE: _ClassVar[Death.Cause]
        CAUSE_LEFT: _ClassVar[Death.Cause]
    CAUSE_UNSPECIFIED: Death.Cause
    CAUSE_KILLED: Death.Cause
    CAUSE_ZONE: Death.Cause
    CAUSE_LEFT: Death.Cause
    VICTIM_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    SURVIVED_S_FIELD_NUMBER: _ClassVar[int]
    victim_id: int
    cause: Death.Cause
    at: Position
    survived_s: float
    def __init__(self, victim_id: _Optional[int] = ..., cause: _Optional[_Union[Death.Cause, str]] = ..., at: _Optional[_Union[Position, _Mapping]] = ..., survived_s: _Optional[float] = ...) -> None: ...

class XpGranted(_message.Message):
    __slots__ = ("player_id", "xp", "reason")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    XP_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    xp: int
    reason: str
    def __init__(self, player_id: _Optional[int] = ..., xp: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class PlayerConnected(_message.Message):
    __slots__ = ("player_id",)
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    def __init__(self, player_id: _Optional[int] = ...) -> None: ...

class PlayerDisconnected(_message.Message):
    __slots__ = ("player_id", "reason")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    reason: str
    def __init__(self, player_id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class DamageSummary(_message.Message):
    __slots__ = ("player_id", "dealt", "taken", "weapons")
    class Weapon(_message.Message):
        __slots__ = ("weapon", "dealt", "shots", "hits")
        WEAPON_FIELD_NUMBER: _ClassVar[int]
        DEALT_FIELD_NUMBER: _ClassVar[int]
        SHOTS_FIELD_NUMBER: _ClassVar[int]
        HITS_FIELD_NUMBER: _ClassVar[int]
        weapon: str
        dealt: float
        shots: int
        hits: int
        def __init__(self, weapon: _Optional[str] = ..., dealt: _Optional[float] = ..., shots: _Optional[int] = ..., hits: _Optional[int] = ...) -> None: ...
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    DEALT_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    WEAPONS_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    dealt: float
    taken: float
    weapons: _containers.RepeatedCompositeFieldContainer[DamageSummary.Weapon]
    def __init__(self, player_id: _Optional[int] = ..., dealt: _Optional[float] = ..., taken: _Optional[float] = ..., weapons: _Optional[_Iterable[_Union[DamageSummary.Weapon, _Mapping]]] = ...) -> None: ...

class LevelUp(_message.Message):
    __slots__ = ("player_id", "from_level", "to_level", "xp")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_LEVEL_FIELD_NUMBER: _ClassVar[int]
    TO_LEVEL_FIELD_NUMBER: _ClassVar[int]
    XP_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    from_level: int
    to_level: int
    xp: int
    def __init__(self, player_id: _Optional[int] = ..., from_level: _Optional[int] = ..., to_level: _Optional[int] = ..., xp: _Optional[int] = ...) -> None: ...

class Purchase(_message.Message):
    __slots__ = ("player_id", "purchase_id", "item_id", "currency", "price", "quantity")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    PURCHASE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    purchase_id: str
    item_id: str
    currency: str
    price: int
    quantity: int
    def __init__(self, player_id: _Optional[int] = ..., purchase_id: _Optional[str] = ..., item_id: _Optional[str] = ..., currency: _Optional[str] = ..., price: _Optional[int] = ..., quantity: _Optional[int] = ...) -> None: ...

class LoadoutChanged(_message.Message):
    __slots__ = ("player_id", "skin", "version")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    SKIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    skin: str
    version: int
    def __init__(self, player_id: _Optional[int] = ..., skin: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ServerLifecycle(_message.Message):
    __slots__ = ("state", "reason")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ServerLifecycle.State]
        STATE_STARTED: _ClassVar[ServerLifecycle.State]
        STATE_READY: _ClassVar[ServerLifecycle.State]
        STATE_ALLOCATED: _ClassVar[ServerLifecycle.State]
        STATE_ENDED: _ClassVar[ServerLifecycle.State]
        STATE_LOST: _ClassVar[ServerLifecycle.State]
    STATE_UNSPECIFIED: ServerLifecycle.State
    STATE_STARTED: ServerLifecycle.State
    STATE_READY: ServerLifecycle.State
    STATE_ALLOCATED: ServerLifecycle.State
    STATE_ENDED: ServerLifecycle.State
    STATE_LOST: ServerLifecycle.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    state: ServerLifecycle.State
    reason: str
    def __init__(self, state: _Optional[_Union[ServerLifecycle.State, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class FlagCaptured(_message.Message):
    __slots__ = ("player_id", "team", "at", "carried_s")
    PLAYER_ID_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    CARRIED_S_FIELD_NUMBER: _ClassVar[int]
    player_id: int
    team: int
    at: Position
    carried_s: float
    def __init__(self, player_id: _Optional[int] = ..., team: _Optional[int] = ..., at: _Optional[_Union[Position, _Mapping]] = ..., carried_s: _Optional[float] = ...) -> None: ...
