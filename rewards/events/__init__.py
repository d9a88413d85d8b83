"""Events: the schema, the topics, and how to build, send and read events.

Other services import this package alone.

producer = EventProducer(
    Bus.of(settings, clock), settings.topic_prefix, name, settings.state_dir / "spool", clock=clock
)
await producer.start()
source = Source(name, region, match_id, ids=EventIds.from_clock(clock))
producer.emit(kill(source, now_s=…, tick=…, killer_id=…, …))
await producer.flush(5.0)
await producer.stop()
"""

from rewards.errors import (
    BadEventError,
    BusUnavailableError,
    EventsError,
    SpoolDamagedError,
    TopicsMissingError,
)
from rewards.events.build import (
    DeathCause,
    Envelope,
    PlayerPlacement,
    ServerState,
    Source,
    WeaponDamage,
    damage_summary,
    death,
    kill,
    level_up,
    loadout_changed,
    make_event,
    match_ended,
    match_started,
    player_connected,
    player_disconnected,
    purchase,
    server_lifecycle,
    xp_granted,
)
from rewards.events.ids import EventIds
from rewards.events.kinds import event_kinds
from rewards.events.parse import parse_envelope, routing
from rewards.events.producer import EventProducer, ProducerCounters
from rewards.events.topics import (
    DEAD_LETTERS,
    EVENT_TOPICS,
    MATCH,
    PLAYER,
    PROGRESS,
    REWARDS_TOPICS,
    TOPICS,
    Topic,
    ensure_topics,
)

__all__ = [
    "DEAD_LETTERS",
    "EVENT_TOPICS",
    "MATCH",
    "PLAYER",
    "PROGRESS",
    "REWARDS_TOPICS",
    "TOPICS",
    "BadEventError",
    "BusUnavailableError",
    "DeathCause",
    "Envelope",
    "EventIds",
    "EventProducer",
    "EventsError",
    "PlayerPlacement",
    "ProducerCounters",
    "ServerState",
    "Source",
    "SpoolDamagedError",
    "Topic",
    "TopicsMissingError",
    "WeaponDamage",
    "damage_summary",
    "death",
    "ensure_topics",
    "event_kinds",
    "kill",
    "level_up",
    "loadout_changed",
    "make_event",
    "match_ended",
    "match_started",
    "parse_envelope",
    "player_connected",
    "player_disconnected",
    "purchase",
    "routing",
    "server_lifecycle",
    "xp_granted",
]
