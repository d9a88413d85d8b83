"""The sidecar's counters and lists: Agones' SDK v1beta1, ``/v1beta1/counters/NAME`` and ``/v1beta1/lists/NAME``."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote

from dedicated_server.fleet.pool.counters_and_lists import (
    CounterListError,
    UnknownCounterListError,
    parse_int64,
    parse_strings,
)
from dedicated_server.fleet.pool.gameserver import GameServer

COUNTERS = "/v1beta1/counters/"
LISTS = "/v1beta1/lists/"


def counter_call(
    server: GameServer, method: str, path: str, body: dict[str, Any], _query: str
) -> dict[str, Any] | None:
    """Read or change a counter; None where there is no such call. Raises TallyError, UnknownTally.

    A change carries ``count``, ``capacity`` and ``countDiff``, any of them; what is left out stays.
    """
    name = unquote(path.removeprefix(COUNTERS))
    counter = server.counters.get(name)
    if counter is None:
        raise UnknownCounterListError(f"this game server has no counter {name!r:.60}")
    if method == "PATCH":
        given = {
            field: parse_int64(body[field], field)
            for field in ("count", "capacity")
            if body.get(field) is not None
        }
        counter.change(
            count=given.get("count"),
            capacity=given.get("capacity"),
            diff=parse_int64(body.get("countDiff") or 0, "countDiff"),
        )
        server.notify()
    elif method != "GET":
        return None
    return {"name": name, **counter.as_json()}


def list_call(
    server: GameServer, method: str, path: str, body: dict[str, Any], query: str
) -> dict[str, Any] | None:
    """Read or change a list; None where there is no such call. Raises TallyError, UnknownTally, AlreadyThere.

    ``updateMask`` names what of the body counts, ``capacity`` and ``values``; without it everything given does.
    """
    name, _, verb = unquote(path.removeprefix(LISTS)).partition(":")
    values = server.lists.get(name)
    if values is None:
        raise UnknownCounterListError(f"this game server has no list {name!r:.60}")
    match method, verb:
        case "GET", "":
            pass
        case "PATCH", "":
            mask = {field for part in parse_qs(query).get("updateMask", []) for field in part.split(",")}
            given = {field: body[field] for field in mask or ("capacity", "values") if field in body}
            values.change(
                values=parse_strings(given["values"], "values") if "values" in given else None,
                capacity=parse_int64(given["capacity"], "capacity") if "capacity" in given else None,
            )
            server.notify()
        case "POST", "addValue":
            values.add(_value(body))
            server.notify()
        case "POST", "removeValue":
            values.remove(_value(body))
            server.notify()
        case _:
            return None
    return {"name": name, **values.as_json()}


def _value(body: dict[str, Any]) -> str:
    value = body.get("value")
    if not isinstance(value, str) or not value:
        raise CounterListError("value must be a string")
    return value
