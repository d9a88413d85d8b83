"""Scenarios that differ from a file in a few values: ``--vary``, ``--given`` and ``--scale``."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from loadtest.errors import LoadTestError, ScenarioError
from loadtest.scenario import reader
from loadtest.scenario.model import Scenario
from loadtest.scenario.sections import FOLDER

BY_REGION = ("fleet.buffer", "fleet.max")  # take a number, or a number by region
STEPS = 9  # values of a range without a step
MAX_VALUES = 1_000
MAX_DESCRIPTION = 300  # characters that a scenario may have
RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?")


class VariationError(LoadTestError):
    """Raised for a variation that cannot be read or that makes no scenario.

    The text says what would be right.

    Attributes:
        problems: each mistake by itself.
    """

    def __init__(self, text: str, problems: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems) or (text,)


@dataclass(frozen=True, slots=True)
class Variation:
    """One value of the scenario that varies.

    Attributes:
        path: dotted keys from the top of the scenario, such as ``fleet.buffer``.
        values: its values, in order.
    """

    path: str
    values: tuple[Any, ...]


def parse_variation(text: str, option: str = "--vary") -> Variation:
    """Parse ``path=1,2,3``, ``path=0..400`` (nine values) or ``path=0..400/100`` (steps of 100).

    Args:
        text: what was given.
        option: to which option, for the errors.

    Raises VariationError.
    """
    path, equals, given = text.partition("=")
    try:
        if not equals or not path.strip() or not given.strip():
            raise VariationError(
                "name a value and what it takes, such as fleet.buffer=0..400 or fleet.startup_s=5,30,120"
            )
        values: list[Any] = []
        for part in given.split(","):
            values += _range(part.strip()) if ".." in part else [_value(part.strip())]
    except VariationError as error:
        raise VariationError(f"{option} {text}: {error}") from error
    return Variation(path.strip(), tuple(dict.fromkeys(values)))


def combinations(variations: Sequence[Variation], option: str = "--vary") -> list[dict[str, Any]]:
    """Return every combination of the values, the last variation varying fastest; one without variations.

    Raises VariationError where two variations name one path.
    """
    paths = [vary.path for vary in variations]
    if len(set(paths)) < len(paths):
        raise VariationError(
            f"{option} names {max(paths, key=paths.count)} twice: give all its values at once"
        )
    return [
        dict(zip(paths, values, strict=True))
        for values in itertools.product(*(vary.values for vary in variations))
    ]


def check_apart(decisions: Sequence[Variation], circumstances: Sequence[Variation]) -> None:
    """Look whether nothing is both decided and given, not even in part. Raises VariationError."""
    for decided in decisions:
        for given in circumstances:
            shorter, longer = sorted((decided.path, given.path), key=len)
            if longer == shorter or longer.startswith(f"{shorter}."):
                raise VariationError(
                    f"--vary {decided.path} and --given {given.path}: a value is decided or given, not both"
                )


def varied(scenario: Scenario, changes: dict[str, Any], folder: Path) -> Scenario:
    """Return the scenario with some values changed, validated again.

    Args:
        changes: path → value.
        folder: where files that the scenario names are looked for.

    Raises:
        VariationError: the changes make no scenario; the text names everything that is wrong.
    """
    whole = scenario.model_dump()
    content = scenario.model_dump(exclude_unset=True)  # what the file leaves out stays left out
    problems = []
    for path, value in changes.items():
        try:
            _put(whole, path, value)
            _copy(content, whole, scenario, "fleet.buffer" if path.startswith("fleet.buffer.") else path)
        except VariationError as error:
            problems.append(str(error))
    if problems:
        raise VariationError("; ".join(problems), problems)
    try:
        found = Scenario.model_validate(content, context={FOLDER: folder})
    except ValidationError as error:
        raise _no_scenario(changes, _mistakes(content, folder)) from error
    if wrong := found.contradictions():
        raise _no_scenario(changes, [f"{'.'.join(map(str, path))}: {message}" for path, message in wrong])
    return found


def _mistakes(content: dict[str, Any], folder: Path) -> list[str]:
    """Return what is wrong with the content of a scenario, in the words of the file's reader."""
    try:
        reader.parse_scenario(yaml.safe_dump(content), str(folder / "scenario"))
    except ScenarioError as error:
        return [f"{each.path}: {each.message}" for each in error.mistakes]
    return ["it cannot be read again"]  # never: it was refused a moment ago


def _no_scenario(changes: dict[str, Any], problems: list[str]) -> VariationError:
    return VariationError(f"{_named(changes)} does not make a scenario: {'; '.join(problems)}", problems)


def scaled(scenario: Scenario, factor: float, folder: Path) -> Scenario:
    """Return the scenario with ``factor`` times the players and servers, and a description that says so.

    Raises VariationError.
    """
    fleet = scenario.fleet
    found = varied(
        scenario,
        {
            "players.count": max(1, round(scenario.players.count * factor)),
            "fleet.buffer": _times(fleet.buffer, factor, least=0),
            "fleet.max": _times(fleet.max, factor, least=1),
        },
        folder,
    )
    # A file that describes itself as a million players is none of ten thousand.
    said = f"{factor:g} times the players and servers of: {scenario.description}"[:MAX_DESCRIPTION]
    return found.model_copy(update={"description": said if scenario.description else ""})


def _times(given: int | dict[str, int], factor: float, *, least: int) -> int | dict[str, int]:
    """A number of servers, or a number by region, in another size."""
    if isinstance(given, dict):
        return {region: max(least, round(count * factor)) for region, count in given.items()}
    return max(least, round(given * factor))


def _named(changes: dict[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in changes.items())


def _range(given: str) -> list[Any]:
    match = RANGE.fullmatch(given)
    if match is None:
        raise VariationError(f"{given} is not a range; write it like 0..400 or 0..400/50")
    low, high = float(match[1]), float(match[2])
    whole = "." not in match[1] + match[2] + (match[3] or "")
    step = float(match[3]) if match[3] else (high - low) / (STEPS - 1)
    if high < low or step <= 0.0:
        if high == low:
            return [int(low) if whole else low]
        raise VariationError(f"{given} runs backwards; the smaller number comes first")
    count = int((high - low) / step + 1e-9) + 1
    if count > MAX_VALUES:
        raise VariationError(f"{given} has {count:,} values; at most {MAX_VALUES:,}, so take larger steps")
    values = [low + step * index for index in range(count)]
    return [round(value) if whole else round(value, 9) for value in values]


def _value(given: str) -> Any:
    try:
        value = yaml.safe_load(given)
    except (yaml.YAMLError, ValueError):
        value = None
    if not isinstance(value, str | int | float | bool):
        raise VariationError(f"{given or 'nothing'} is not a value; give numbers or words")
    return value


def _put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path of which every key exists already. Raises VariationError."""
    *way, last = path.split(".")
    if path in BY_REGION:
        content["fleet"][last] = value  # a number for all, whichever form the file has
        return
    if ".".join(way) == "fleet.buffer" and isinstance(content["fleet"]["buffer"], int):
        content["fleet"]["buffer"] = dict.fromkeys(content["fleet"]["regions"], content["fleet"]["buffer"])
    if ".".join(way) == "fleet.max" and isinstance(content["fleet"]["max"], int):
        raise VariationError(
            f"{path}: fleet.max is one number for all regions together; write it by region in the "
            "file to vary that of one"
        )
    here: Any = content
    for depth, key in enumerate([*way, last]):
        if isinstance(here, dict) and all(isinstance(known, int) for known in here) and key.isdigit():
            key = int(key)  # type: ignore[assignment]  # party sizes
        if not isinstance(here, dict) or key not in here:
            known = ", ".join(map(str, here)) if isinstance(here, dict) else "nothing below it"
            where = ".".join(path.split(".")[:depth]) or "a scenario"
            raise VariationError(f"{path}: {where} has no {key}; it has {known}")
        if depth < len(way):
            here = here[key]
    if isinstance(here[last], dict | list) and not isinstance(value, dict | list):
        raise VariationError(
            f"{path}: is a section, not a value; vary one of {', '.join(map(str, here[last]))}"
        )
    if isinstance(here[last], float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    here[last] = value


def _copy(content: dict[str, Any], whole: dict[str, Any], model: Any, path: str) -> None:
    """Copy the value at a path of ``whole`` into ``content``, which has only what the file has set."""
    *way, last = path.split(".")
    for key in way:
        name: Any = int(key) if key not in whole and key.isdigit() else key
        model = model[name] if isinstance(model, dict) else getattr(model, name)
        if not isinstance(model, BaseModel) and not isinstance(content.get(name), dict):
            content[name] = copy.deepcopy(whole[name])  # a mapping is set whole or not at all
            return
        content, whole = content.setdefault(name, {}), whole[name]
    name = int(last) if last not in whole and last.isdigit() else last
    content[name] = copy.deepcopy(whole[name])
