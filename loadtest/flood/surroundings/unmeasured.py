"""What a flood of somebody else's target leaves out of a scenario, because only our own backend has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from loadtest.errors import LeftOutError
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.faults import Busy, Fault, ReconnectAll
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.model import Scenario
from loadtest.scenario.players import Behaviours, Links

OUT_OF_REACH = "the parts of a target are out of reach"
ITS_OWN = "a target has a matchmaker and game servers of its own"
NOT_TOLD = "only our own game servers tell it"
OWN_GAME = "how players move and fight is our own game's"
OWN_LINKS = "a target's connections are its own, and are told the latency alone"
NO_SHOP = "the target has no shop"

FLEET_KEYS = (
    "buffer",
    "max",
    "startup_s",
    "startup_spread",
    "failures_per_server_hour",
    "policy",
    "price_per_server_hour",
)
MODE_KEYS = ("min_players", "fill_s", "duration_spread", "rules")
SERVER_OBJECTIVES = {"tick_p99_ms": "tick p99", "missed_tick_share": "missed ticks", "cost": "cost"}
PLAIN = BehaviourProfile()
GAME_FIELDS = ("movement", "sight_m", "rest")


def injectable(faults: Sequence[Fault]) -> list[Fault]:
    """The faults that need nothing of our own backend."""
    return [fault for fault in faults if isinstance(fault, Busy | ReconnectAll)]


def unmeasured(target: object) -> tuple[str, ...]:
    """The names of the objectives that nobody can measure on a target."""
    return (*SERVER_OBJECTIVES.values(), *(() if _shops(target) else ("purchase p95",)))


def not_on_target(scenario: Scenario, target: object) -> list[str]:
    """What the scenario asks for that a flood of a target does not do, a phrase each.

    Args:
        scenario: a checked one.
        target: a target, or its class.
    """
    behaviours, links, objectives = scenario.behaviours, scenario.links, scenario.objectives
    kinds = [behaviours.profile(name) for name in behaviours.shares]
    by_reason = {
        OUT_OF_REACH: [
            f"faults {fault.do}" for fault in scenario.faults if fault not in injectable(scenario.faults)
        ],
        ITS_OWN: [*_own_servers(scenario)],
        NOT_TOLD: [
            f"objectives.{key}"
            for key in SERVER_OBJECTIVES
            if key in objectives.model_fields_set and getattr(objectives, key) is not None
        ],
        OWN_GAME: [
            *(["behaviours.rest_s"] if "rest_s" in behaviours.model_fields_set else []),
            *(f"behaviours {name}" for name in _given(behaviours) if _moves(behaviours.profile(name))),
        ],
        OWN_LINKS: [f"links {name}" for name in _given(links) if _has_more(links.profile(name))],
        NO_SHOP: []
        if _shops(target)
        else [
            *(["behaviours that shop"] if any(kind.shops for kind in kinds) else []),
            *(["objectives.purchase_p95_s"] if objectives.purchase_p95_s is not None else []),
        ],
    }
    return [f"{', '.join(dict.fromkeys(parts))}: {why}" for why, parts in by_reason.items() if parts]


def refuse_target(scenario: Scenario, target: object) -> None:
    """Raise LeftOutError where a flood of a target leaves out something that the scenario asks for."""
    if phrases := not_on_target(scenario, target):
        raise LeftOutError(scenario.name, "a flood of a target", phrases)


def _given(section: Behaviours | Links) -> Iterable[str]:
    """The kinds that the file gives a share."""
    return section.shares if "shares" in section.model_fields_set else ()


def _own_servers(scenario: Scenario) -> Iterator[str]:
    given: Iterable[str] = scenario.fleet.model_fields_set
    yield from (f"fleet.{key}" for key in FLEET_KEYS if key in given)
    for name, mode in scenario.modes.items():
        yield from (f"modes.{name}.{key}" for key in MODE_KEYS if key in mode.model_fields_set)


def _moves(kind: BehaviourProfile) -> bool:
    return any(getattr(kind, name) != getattr(PLAIN, name) for name in GAME_FIELDS)


def _has_more(link: LinkProfile) -> bool:
    """Whether a link does more to datagrams than delay them."""
    plain = LinkProfile(access_ms=link.access_ms, jitter_ms=link.jitter_ms, buffer_ms=link.buffer_ms)
    return link != plain


def _shops(target: object) -> bool:
    return hasattr(target, "shop")
