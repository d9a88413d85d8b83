"""What other services may import of rewards.

A change here is a change of the published contract: say so in CHANGELOG.md.
"""

from __future__ import annotations

import inspect

import pytest

from rewards import client, errors, events

EVENTS = {
    # the topics
    *(
        "DEAD_LETTERS",
        "EVENT_TOPICS",
        "MATCH",
        "PLAYER",
        "PROGRESS",
        "REWARDS_TOPICS",
        "TOPICS",
        "Topic",
        "ensure_topics",
    ),
    # building events
    *("DeathCause", "Envelope", "EventIds", "PlayerPlacement", "ServerState", "Source", "WeaponDamage"),
    *("damage_summary", "death", "kill", "level_up", "loadout_changed", "match_ended", "match_started"),
    *("player_connected", "player_disconnected", "purchase", "server_lifecycle", "xp_granted"),
    *("event_kinds", "make_event"),
    # sending and reading them
    *("EventProducer", "ProducerCounters", "parse_envelope", "routing"),
    # errors
    *("BadEventError", "BusUnavailableError", "EventsError", "SpoolDamagedError", "TopicsMissingError"),
}


def test_rewards_events_exports_these_names() -> None:
    assert set(events.__all__) == EVENTS
    assert all(hasattr(events, name) for name in EVENTS)


def test_rewards_client_has_these_names() -> None:
    own = {
        name
        for name, value in vars(client).items()
        if inspect.isclass(value) and value.__module__ == client.__name__
    }
    assert own == {"LogGap", "RewardsClient", "RewardsCounters"}
    assert set(client.RewardsCounters.model_fields) == {
        *("kills_applied", "events_applied", "duplicates", "dead_letters", "lag", "lag_seconds"),
        *("newer_waiting", "analytics_newer_waiting", "spooled_newer_waiting"),
        *("gaps", "missing_records", "unknown_gaps", "newest_gaps"),
        *("analytics_gaps", "analytics_missing_records", "analytics_unknown_gaps"),
    }


@pytest.mark.parametrize(
    ("builder", "parameters"),
    [
        ("kill", "source now_s tick killer_id victim_id weapon distance_m killer_at victim_at assist_ids"),
        ("death", "source now_s tick victim_id cause at survived_s"),
        ("match_started", "source now_s tick mode seed roster waited_s quality"),
        ("match_ended", "source now_s tick mode duration_s placements"),
        ("damage_summary", "source now_s tick player_id taken weapons"),
        ("server_lifecycle", "source now_s state reason"),
        ("EventProducer", "bus prefix producer_name spool_dir clock capacity"),
    ],
)
def test_what_game_servers_call_takes_these_parameters(builder: str, parameters: str) -> None:
    assert list(inspect.signature(getattr(events, builder)).parameters) == parameters.split()


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ").rstrip()
        if not words.strip() or not words.split()[0].endswith("Error"):
            continue
        depth, name = len(words) - len(words.lstrip()), words.split()[0]
        above = [*(each for each in above if each[0] < depth), (depth, name)]
        drawn[name] = above[-2][1] if len(above) > 1 else "Exception"
    real = {
        name: value.__mro__[1].__name__
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert drawn == real
