"""Generates docs/scenarios.md from the models that read scenarios: ``python -m loadtest.scenario.docs >
docs/scenarios.md``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from launchday import startup
from loadtest.scenario import behaviour_profiles, left_out, link_profiles
from loadtest.scenario.arrivals import CURVES
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.faults import FAULTS
from loadtest.scenario.link_profiles import Burst, Detour, LinkProfile
from loadtest.scenario.model import FleetSection, Objectives, Scenario
from loadtest.scenario.players import Behaviours, Links, ModeSection, Players, Retries, Skill
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.scenario.sections import Section

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("players", Players),
    ("players.skill", Skill),
    ("modes.NAME", ModeSection),
    ("fleet", FleetSection),
    ("links", Links),
    ("links.own.NAME", LinkProfile),
    ("links.own.NAME.burst", Burst),
    ("links.own.NAME.detour", Detour),
    ("behaviours", Behaviours),
    ("behaviours.own.NAME", BehaviourProfile),
    ("behaviours.retries", Retries),
    ("objectives", Objectives),
)
KINDS: dict[tuple[type[BaseModel], str], dict[str, type[Section]]] = {
    (Scenario, "arrivals"): CURVES,
    (Scenario, "faults"): FAULTS,
}
HEAD = """# Scenario files

<!-- Made by python -m loadtest.scenario.docs; a test compares. -->

A scenario is a YAML file. `launchday flood FILE` plays it in real time against a real backend,
`launchday simulate FILE` in virtual time. All mistakes in a file are reported together, each with its line
and path. The same file and seed give the same players, arrivals and links.

"""
WORLDS = """## What each key does

Neither world does all that a file can say. What a key asks for and a world leaves out stands in one line of
its summary, its report and its JSON (`left out`), with the verdict unchanged; `--strict` makes it a mistake
that is found before anything starts. "acts" in both columns means the same in both.

- A flood with `--running` also leaves out what sets a backend up: the keys marked "own" act in a backend that
  the flood starts itself.
- The rule set that ships for `battle_royale` has limits of skill and of latency, which widen as a ticket
  waits: a match of any size waits for them. Players are new in both worlds, and among new players the limit
  of skill holds nobody up; with `players.rated` a simulated matchmaker knows how good they are.
- A party queues as one ticket in both worlds.
- What services can take is not simulated: virtual time has no login, no queue of requests and no database.

| key | in a flood | in a simulation |
|---|---|---|
"""


def render() -> str:
    """The whole document."""
    return HEAD + "\n".join(_lines()).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield "## Shipped"
    yield ""
    yield "| name | players | description |"
    yield "|---|---|---|"
    for path in sorted(SHIPPED.glob("*.yaml")):
        scenario = load_scenario(path)
        yield f"| `{scenario.name}` | {scenario.players.count:,} | {scenario.description} |"
    yield ""
    yield WORLDS.rstrip()
    for key, field in every_key():
        own = "; own" if left_out.sets_up(field) else ""
        flooded, simulated = (_cell(left_out.words(field, world)) for world in ("flood", "simulate"))
        yield f"| `{key}` | {flooded}{own} | {simulated} |"
    yield ""
    yield from _section("The file", Scenario)
    yield from _section("`players`", Players)
    yield from _section("`players.skill`", Skill)
    yield "## `arrivals`"
    yield ""
    yield "One of these curves, or a mapping that gives each location of `players.locations` a curve:"
    yield "`{west-europe: {over_s: 600}, east-us: {curve: ramp, over_s: 900}}`."
    yield ""
    for name, curve in CURVES.items():
        yield from _section(f"`curve: {name}`", curve, level=3, without=("curve",))
    for name, model in SECTIONS[2:-1]:
        yield from _section(f"`{name}`", model)
        if name == "links":
            yield f"Shipped kinds of links: {', '.join(f'`{kind}`' for kind in link_profiles.profiles())}."
            yield ""
        if name == "behaviours":
            names = ", ".join(f"`{kind}`" for kind in behaviour_profiles.profiles())
            yield f"Shipped kinds of players: {names}."
            yield ""
    yield "## `faults`"
    yield ""
    yield "A list; each has `do` and the keys of its kind."
    yield ""
    for name, fault in FAULTS.items():
        yield from _section(f"`do: {name}`", fault, level=3, without=("do",))
    yield from _section("`objectives`", Objectives)


def every_key() -> Iterator[tuple[str, FieldInfo]]:
    """Every key that a scenario may have and that is no section, by its path; NAME stands for a name."""
    yield from dict(_keys(Scenario, "")).items()


def _keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        inner = next(iter(get_args(field.annotation)[-1:]), None)
        if (model, name) in KINDS:
            for kind, each in KINDS[model, name].items():
                for key, inside in _keys(each, ""):
                    yield _path_of_kind(name, kind, key), inside
        elif _is_model(field.annotation):
            yield from _keys(field.annotation, f"{path}{name}.")
        elif _is_model(inner):
            yield from _keys(inner, f"{path}{name}.NAME.")
        else:
            yield f"{path}{name}", field


def _path_of_kind(section: str, kind: str, key: str) -> str:
    """The path of a key of a curve or fault: the same for all kinds that share the key."""
    if section == "arrivals":
        return f"arrivals.{key}"
    if key == "do":
        return f"faults.{kind}"
    return f"faults.KIND.{key}" if key in ("at_s", "for_s") else f"faults.{kind}.{key}"


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(
    title: str, model: type[BaseModel], *, level: int = 2, without: tuple[str, ...] = ()
) -> Iterator[str]:
    yield f"{'#' * level} {title}"
    yield ""
    yield " ".join((model.__doc__ or "").split())
    yield ""
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        if name not in without:
            yield f"| `{name}` | {_value(field)} | {_default(field)} | {_cell(field.description or '')} |"
    yield ""


def _value(field: FieldInfo) -> str:
    return _cell(_kind(field.annotation) + _limits(field.metadata))


def _limits(metadata: Iterable[Any]) -> str:
    limits = []
    for mark in metadata:
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt")):
            if (limit := getattr(mark, name, None)) is not None:
                limits.append(f"{sign} {limit:,}" if isinstance(limit, int) else f"{sign} {limit:,g}")
    return " " + ", ".join(limits) if limits else ""


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (int, float, str, bool):
        return {int: "whole number", float: "number", str: "text", bool: "yes or no"}[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if origin is dict:
        return "mapping"
    if origin is list:
        return "list"
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{value}`" for value in arguments)
    if type(None) in arguments:
        return f"{_kind(next(each for each in arguments if each is not type(None)))} or null"
    if hasattr(annotation, "__metadata__"):
        marks = [getattr(each, "metadata", [each]) for each in annotation.__metadata__]
        return _kind(arguments[0]) + _limits(itertools.chain.from_iterable(marks))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in arguments))
    return "section"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel):
        return "as below"
    if value is PydanticUndefined or value is None:
        return "null"
    return _cell(f"`{value}`" if value not in ("", {}, []) else "none")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    startup.prepare()
    sys.stdout.write(render())
