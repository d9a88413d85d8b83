"""Stand-ins for what is wrong in a scenario, so that contradictions between its sections are found all the
same, and mistakes behind a misspelt kind.

Only the first mistakes are told, not those of stand-ins; a contradiction with one is none.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dedicated_server.cards import MAX_PLAYERS, ModeCard, shipped_cards
from loadtest.scenario.arrivals import CURVES
from loadtest.scenario.faults import FAULTS
from loadtest.scenario.model import Scenario
from loadtest.scenario.modes import KeyPath, card_mistakes, sized_card
from loadtest.scenario.reading.places import KEY, path_of
from loadtest.scenario.reading.shares import PATHS as SHARES
from loadtest.scenario.reading.words import nearest

Validate = Callable[[Any], tuple[Scenario | None, list[Any]]]

ROUNDS = 10  # what is wrong may hide behind what was wrong
PATIENT_ROUNDS = 6  # after which whole sections are replaced
CURVE: dict[str, Any] = {"over_s": 1.0}
LOCATIONS: dict[str, Any] = {"west-europe": 1.0}
MODE: dict[str, Any] = {"players": MAX_PLAYERS, "duration_s": 10.0}  # every party fits into it
FAULT: dict[str, Any] = {"do": "stop_cache", "at_s": 0.0, "for_s": 1.0}
KEYS_OF_FAULTS: dict[str, Any] = {
    "at_s": 0.0,
    "for_s": 1.0,
    "by_ms": 1.0,
    "processes": 1,
    "part": "cache",
    "region": "west-europe",
}
CURVE_KEYS = {key for curve in CURVES.values() for key in curve.model_fields}
# Contradictions at a path are with what stands at another: they count only where that was right.
COMPARED_WITH: tuple[tuple[KeyPath, KeyPath], ...] = (
    (("faults",), ("fleet", "regions")),
    (("fleet",), ("fleet", "regions")),
    (("arrivals",), ("players", "locations")),
    (("links", "shares"), ("links", "own")),
    (("behaviours", "shares"), ("behaviours", "own")),
)


@dataclass(slots=True)
class Repaired:
    """A scenario with stand-ins.

    Attributes:
        scenario: None where it could not be had even so.
        hidden: errors of pydantic's that a misspelt kind of curve or fault had hidden.
        touched: the paths at which something stands in; an item of a list has its text instead of its number.
    """

    scenario: Scenario | None = None
    hidden: list[Any] = field(default_factory=list)
    touched: list[KeyPath] = field(default_factory=list)

    def contradictions(
        self, content: Any, cards: Mapping[str, ModeCard] | None = None
    ) -> list[tuple[KeyPath, str]]:
        """The scenario's contradictions, but for those that may be with a stand-in or with a misspelt name.

        Args:
            content: of the file.
            cards: of the modes that there are; None: any.
        """
        if self.scenario is None:
            return []
        found = self.scenario.contradictions()
        if cards is not None:
            found += card_mistakes(self.scenario.modes, self.scenario.players.parties, cards)
        return [(path, text) for path, text in found if not self._doubtful(path, content)]

    def _doubtful(self, path: KeyPath, content: Any) -> bool:
        against = [other for begin, other in COMPARED_WITH if _begins(path, begin)]
        named = _value_at(content, path)
        names = [str(path[-1]), named if isinstance(named, str) else ""]
        return any(
            _begins(path, touched)
            or any(_begins(other, touched) for other in against)
            or (touched[:-1] in (path[:-1], *against) and nearest(touched[-1], names) != "")
            for touched in self.touched
        )


def _begins(path: KeyPath, begin: KeyPath) -> bool:
    return path[: len(begin)] == begin


def _value_at(content: Any, path: Sequence[Any]) -> Any:
    with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
        for part in path:
            content = content[part]
        return content
    return None


def repair(content: Any, found: list[Any], validate: Validate) -> Repaired:
    """Put stand-ins for what is wrong until the rest is a scenario.

    Args:
        content: of the file; it is not changed.
        found: what pydantic finds wrong in it.
        validate: makes a scenario of content, or says what is wrong.
    """
    content = copy.deepcopy(content)
    repaired = Repaired()
    guessed: list[KeyPath] = []
    for number in range(ROUNDS):
        for item in sorted(found, key=_place, reverse=True):  # an item of a list before those that it moves
            path = tuple(path_of(item))
            if number and any(_begins(path, begin) for begin in guessed):
                repaired.hidden.append(item)
            value = _value_at(content, path)
            if item["type"] == "value_error" and _sum_to_one(content, path, value):
                continue
            repaired.touched.append(_with_text(path, value))
            with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
                if number >= PATIENT_ROUNDS:
                    _replace_section(content, path)
                elif _mend(content, path, item):
                    guessed.append(path[:-1])
        repaired.scenario, found = validate(content)
        if repaired.scenario is not None:
            break
    return repaired


def _sum_to_one(content: Any, path: KeyPath, shares: Any) -> bool:
    """Scale shares that do not sum to 1, so that what else they say stays; whether that was the mistake."""
    if path not in SHARES or not isinstance(shares, dict) or not shares:
        return False
    if not all(isinstance(share, int | float) and share > 0 for share in shares.values()):
        return False
    total = math.fsum(shares.values())
    _put(content, list(path), {name: share / total for name, share in shares.items()})
    return True


def _place(item: Any) -> list[str]:
    return [f"{part:09}" if isinstance(part, int) else str(part) for part in item["loc"]]


def _with_text(path: KeyPath, value: Any) -> KeyPath:
    """The path of an item of a list, with its text."""
    return (*path[:-1], value) if path and isinstance(path[-1], int) and isinstance(value, str) else path


def _replace_section(content: Any, path: KeyPath) -> None:
    """Put a stand-in for the whole section in which mending has not helped."""
    section = path[:1]
    if section and (stand_in := _stand_in(section)) is not None:
        content[section[0]] = copy.deepcopy(stand_in)
    elif section:
        del content[section[0]]


def _mend(content: Any, path: KeyPath, item: Any) -> bool:
    """Mend one mistake; True where a kind was guessed, so that what is wrong with its keys will be known."""
    *way, last = path or ("",)
    section = content
    for part in way:
        section = section[part]
    if not path or item["type"] == "invalid_key":  # a key that is no text
        for key in [key for key in section if not _is_text(key)]:
            del section[key]
    elif item["type"] == "union_tag_invalid":
        meant = nearest(section.get(last), list(CURVES if path[0] == "arrivals" else FAULTS))
        if meant:
            section[last] = meant
            return True
        _put(content, way, _stand_in(tuple(way)))
    elif path[0] == "arrivals" and last == "file":
        _put(content, way, CURVE)
    elif item["type"] == "extra_forbidden" or item["loc"][-1] == KEY or (stand_in := _stand_in(path)) is None:
        del section[last]
    else:
        section[last] = copy.deepcopy(stand_in)
    return False


def _is_text(key: Any) -> bool:
    return isinstance(key, str) and key.isprintable()


def _put(content: Any, path: list[Any], value: Any) -> None:
    *way, last = path
    for part in way:
        content = content[part]
    content[last] = copy.deepcopy(value)


def _stand_in(path: KeyPath) -> Any:
    """What stands at a path instead of what is wrong or missing; None: nothing, so that the default does."""
    match path:
        case ("name",):
            return "scenario"
        case ("players",):
            return {"count": 1, "locations": LOCATIONS}
        case ("players", "count"):
            return 1
        case ("players", "locations"):
            return LOCATIONS
        case ("arrivals", *_, "over_s" | "peak_s"):
            return 1.0
        case ("arrivals",):
            return CURVE
        case ("arrivals", location) if location not in CURVE_KEYS:
            return CURVE
        case ("modes",):
            return {sized_card(shipped_cards()).name: MODE}
        case ("modes", _):
            return MODE
        case ("modes", _, "players" | "duration_s" as key):
            return MODE[str(key)]
        case ("fleet", "buffer" | "max", _):
            return 1
        case ("links" | "behaviours", "own", _):
            return {}
        case ("faults", _):
            return FAULT
        case ("faults", _, key):
            return KEYS_OF_FAULTS.get(str(key))
    return None
