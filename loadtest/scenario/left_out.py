"""What a world leaves out of a scenario: a flood plays it in real time, a simulation in virtual time, and
neither does all that a file can say.

What each key does in each world stands at the key (``sections.acts``): docs/scenarios.md is made from it, and
the functions here read it. A key counts as asked for where the file gives it a value that is not neutral; of
kinds of players and links those count that have a share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loadtest.errors import LeftOutError
from loadtest.scenario.faults import Fault, Pause
from loadtest.scenario.model import Scenario
from loadtest.scenario.modes import known_cards
from loadtest.scenario.platforms import backend_platforms
from loadtest.scenario.sections import (
    MATCH_LASTS,
    NO_SERVICES,
    NOTHING,
    rule_set_players,
)

World = Literal["flood", "simulate"]

MOST_NAMED = 4  # keys with the same reason that are named in one phrase
BACKEND_STAYS = "a backend that is up already stays as it is set up"
WHOLE = ("behaviours.retries.",)  # sections that are named instead of their keys
QUIET_MOVEMENTS = ("roam", "stand", "crowd")  # of players with whom a match lasts until its zone has closed
RULES_DECIDE = "the rule set of the mode decides how large a match is, and when it starts short"
PAUSES_SIMULATED = ("cache", "director")  # parts without which nobody is matched


class _Part(NamedTuple):
    """A part of the scenario that a world leaves out, why, and what it is one of: "" for a key."""

    what: str
    why: str
    kind: str = ""


def not_in_flood(scenario: Scenario, *, own_backend: bool = True) -> list[str]:
    """What the scenario asks for that a flood does not do, a phrase each.

    Args:
        scenario: a checked one.
        own_backend: whether the flood starts the backend itself, and so sets it up as the scenario says.
    """
    found = [*_keys(scenario, "", "flood"), *_platforms(scenario), *_sizes(scenario)]
    told_apart = len(set(backend_platforms(list(scenario.players.platforms)).values()))
    if told_apart < len(scenario.players.platforms) and scenario.players.cross_play < 1.0:
        found.append(_Part("players.platforms", f"the matchmaker tells {told_apart} of them apart"))
    if not own_backend:
        found += [_Part(key, BACKEND_STAYS) for key in _of_own_backend(scenario, "")]
    return _phrases(found)


def not_in_simulation(scenario: Scenario) -> list[str]:
    """What the scenario asks for that a simulation does not do, a phrase each."""
    found = [*_keys(scenario, "", "simulate"), *_platforms(scenario), *_kinds(scenario)]
    found += [*_sizes(scenario), *_faults(scenario.faults)]
    return _phrases(found)


def refuse_flood(scenario: Scenario, *, own_backend: bool = True) -> None:
    """Raise LeftOutError where a flood leaves out something that the scenario asks for."""
    if phrases := not_in_flood(scenario, own_backend=own_backend):
        raise LeftOutError(scenario.name, "a flood", phrases)


def refuse_simulation(scenario: Scenario) -> None:
    """Raise LeftOutError where a simulation leaves out something that the scenario asks for."""
    if phrases := not_in_simulation(scenario):
        raise LeftOutError(scenario.name, "a simulation", phrases)


def words(field: FieldInfo, world: World) -> str:
    """What a key does in a world; "" where it is a section, whose keys say so."""
    return str(_acts(field).get(world, ""))


def sets_up(field: FieldInfo) -> bool:
    """Whether a key sets up the backend, where the flood starts it."""
    return bool(_acts(field).get("own_backend"))


def _acts(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _why_not(field: FieldInfo, world: World) -> str:
    said = words(field, world)
    return said.removeprefix(NOTHING) if said.startswith(NOTHING) else ""


def _neutral(field: FieldInfo) -> Any:
    neutral = _acts(field).get("neutral", ...)
    return field.get_default(call_default_factory=True) if neutral is ... else neutral


def _is_asked(section: BaseModel, name: str) -> bool:
    """Whether the file gives the key a value that asks for something."""
    value = getattr(section, name)
    return name in section.model_fields_set and value is not None and value != _neutral(_field(section, name))


def _field(section: BaseModel, name: str) -> FieldInfo:
    return type(section).model_fields[name]


def _below(section: BaseModel, path: str) -> Iterator[tuple[str, BaseModel]]:
    """The sections below a section, and the path of each; kinds defined by the file are not among them."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield f"{path}{name}.", value
        elif isinstance(value, dict) and name != "own":
            for key, each in value.items():
                if isinstance(each, BaseModel):
                    yield f"{path}{name}.{key}.", each


def _keys(section: BaseModel, path: str, world: World) -> Iterator[_Part]:
    """The keys that are asked for and do nothing in a world."""
    for name, field in type(section).model_fields.items():
        if (why := _why_not(field, world)) and _is_asked(section, name):
            yield _Part(path.removesuffix(".") if path in WHOLE else f"{path}{name}", why)
    for below, each in _below(section, path):
        yield from _keys(each, below, world)


def _of_own_backend(section: BaseModel, path: str) -> Iterator[str]:
    """The keys that are given and set up a backend that the flood starts."""
    for name, field in type(section).model_fields.items():
        if sets_up(field) and name in section.model_fields_set:
            yield f"{path}{name}"
    for below, each in _below(section, path):
        yield from _of_own_backend(each, below)


def _kinds(scenario: Scenario) -> Iterator[_Part]:
    """Kinds of players and links that have a share and are more than virtual time has of them."""
    behaviours, links = scenario.behaviours, scenario.links
    if "shares" in behaviours.model_fields_set:
        for name in behaviours.shares:
            profile = behaviours.profile(name)
            if profile.after_death == "leave" or profile.movement not in QUIET_MOVEMENTS:
                yield _Part(name, MATCH_LASTS.removeprefix(NOTHING), "behaviours")
            for why in _whys(profile):
                yield _Part(name, why, "behaviours")
    if "shares" in links.model_fields_set:
        for name in links.shares:
            for why in _whys(links.profile(name)):
                yield _Part(name, why, "links")


def _whys(profile: BaseModel) -> Iterator[str]:
    """Why virtual time leaves out what a kind does, once a reason or more often."""
    for name, field in type(profile).model_fields.items():
        value = getattr(profile, name)
        if isinstance(value, BaseModel):
            yield from _whys(value)
        elif (why := _why_not(field, "simulate")) and value != _neutral(field):
            yield why


def _platforms(scenario: Scenario) -> Iterator[_Part]:
    players = scenario.players
    if len(players.platforms) > 1 and players.cross_play == 1.0:
        yield _Part("players.platforms", "players.cross_play is 1, so all platforms play together")


def _sizes(scenario: Scenario) -> Iterator[_Part]:
    """What modes say of the size of a match whose rule set says it already."""
    cards = known_cards()
    for name, mode in scenario.modes.items():
        card = cards.get(name)
        file = mode.rules or ("" if card is None or card.sized_by_settings else str(card.rule_set))
        if (players := rule_set_players(file)) is None:
            continue
        keys = [key for key in ("min_players", "fill_s") if _is_asked(mode, key)]
        for key in (["players"] if mode.players != players else []) + keys:
            yield _Part(f"modes.{name}.{key}", RULES_DECIDE)


def _faults(faults: Iterable[Fault]) -> Iterator[_Part]:
    for fault in faults:
        what, why = str(fault.do), _why_not(_field(fault, "do"), "simulate")
        if isinstance(fault, Pause) and fault.part not in PAUSES_SIMULATED:
            what, why = f"pause of {fault.part}", NO_SERVICES.removeprefix(NOTHING)
        if why:
            yield _Part(what, why, "faults")


def _phrases(found: Iterable[_Part]) -> list[str]:
    """A phrase for each reason: what is left out, and why."""
    by_reason: dict[str, dict[str, dict[str, None]]] = {}
    for part in found:
        by_reason.setdefault(part.why, {}).setdefault(part.kind, {})[part.what] = None
    return [
        f"{', '.join(f'{kind} {_listed(list(names))}'.strip() for kind, names in kinds.items())}: {why}"
        for why, kinds in by_reason.items()
    ]


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
