"""What is wrong with a part of a scenario, in plain words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

import yaml

from loadtest.errors import Mistake
from loadtest.scenario.arrivals import BY_LOCATION, CURVES, ONE_CURVE, Curve
from loadtest.scenario.faults import FAULTS
from loadtest.scenario.model import Scenario
from loadtest.scenario.reading.places import KEY, dotted, line_of, path_of
from loadtest.scenario.sections import Region

NUMBERS_BY_REGION = ("fleet.buffer", "fleet.max")
CLOSE = 0.6  # how alike two words are of which one may be meant by the other


def mistake_of(root: yaml.Node, item: Any) -> Mistake:
    """One of pydantic's errors in plain words, at the line of the deepest node on its path."""
    path = path_of(item)
    message = str(item["msg"]).removeprefix("Value error, ")
    match item["type"]:
        case "missing":
            message = "is required"
        case "extra_forbidden":
            message = f"is not a key here; {_keys_at([part for part in item['loc'][:-1] if part != KEY])}"
        case "union_tag_invalid":
            message = _of_kind(item["ctx"]["tag"], CURVES if path[0] == "arrivals" else FAULTS)
        case "union_tag_not_found" | "model_type" | "model_attributes_type" | "dict_type":
            message = "is a mapping of keys to values"
        case "int_type" if dotted(path) in NUMBERS_BY_REGION:
            message = f"is a whole number, or one for each region{_given(item['input'])}"
        case _ if isinstance(item["input"], str | int | float | bool):
            message = f"{message[:1].lower()}{message[1:]}"
            if not isinstance(item["input"], str) or repr(item["input"]) not in message:
                message += _given(item["input"])
        case _:
            message = f"{message[:1].lower()}{message[1:]}"
    return Mistake(line_of(root, path), dotted(path), " ".join(message.split()))


def nearest(word: Any, known: Sequence[str]) -> str:
    """The known word that is probably meant; "" where none is near."""
    found = difflib.get_close_matches(str(word), known, n=1, cutoff=CLOSE)
    return found[0] if found else ""


def _of_kind(tag: str, kinds: dict[str, Any]) -> str:
    if not tag:
        return f"is required: one of {', '.join(kinds)}"
    meant = nearest(tag, list(kinds))
    return f"{tag} is none of {', '.join(kinds)}" + (f"; did you mean {meant}?" if meant else "")


def _given(value: Any) -> str:
    return f" (it is {value!r})" if isinstance(value, str | int | float | bool) else ""


def _keys_at(path: Sequence[Any]) -> str:
    model: Any = Scenario
    for part in path:
        model = _inside(model, part)
    return f"known are {', '.join(model.model_fields)}"


def _inside(kind: Any, part: Any) -> Any:
    """The type of what lies at ``part`` of a value of the type ``kind``."""
    if hasattr(kind, "model_fields"):
        return kind.model_fields[part].annotation
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _inside(arguments[0], part)
    if origin in (dict, list):
        return arguments[-1]
    if part in (ONE_CURVE, BY_LOCATION):
        return Curve if part == ONE_CURVE else dict[Region, Curve]
    return {**CURVES, **FAULTS}[part]
