"""Reads the folder of a mode: card, map, rule set and hooks in; a checked ModeCard or every mistake out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from dedicated_server.cards import card as limits
from dedicated_server.cards.card import (
    Bots,
    Goal,
    ModeCard,
    OwnRows,
    ScoreField,
    Shows,
    Viewer,
    Weapon,
    Zone,
)
from dedicated_server.cards.companions import hook_mistakes, rule_set_mistakes
from dedicated_server.cards.contradictions import contradictions, size_contradictions
from dedicated_server.cards.document import Unreadable, parse, read_text
from dedicated_server.cards.kinds import OBJECT_KINDS
from dedicated_server.cards.map_file import Map, read_map
from dedicated_server.cards.mistakes import CardError, Mistake
from dedicated_server.cards.values import Value

CARD: Final = "card.yaml"
VIEWERS: Final = ("everybody", "team", "self")
GOALS: Final = ("zone", "hook")
REQUIRED: Final = (
    "name",
    "description",
    "players",
    "speed_m_per_s",
    "map_half_m",
    "zone",
    "weapons",
    "match_s",
)
KEYS: Final = (
    "name",
    "description",
    "each_alone",
    "teams",
    "team_size",
    "players",
    "speed_m_per_s",
    "map_half_m",
    "map",
    "zone",
    "weapons",
    "respawn_s",
    "match_s",
    "backfill_until",
    "score",
    "objects",
    "rows",
    "shows",
    "bots",
    "events",
    "rule_set",
)


def read_card(folder: Path | str) -> ModeCard:
    """Read the folder of one mode. Raises CardError with every mistake in its files."""
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise CardError.of_folder(folder, [Mistake("", "is missing: name the folder of a mode", 0, CARD)])
    mistakes: list[Mistake] = []
    try:
        root, mistakes = parse(read_text(folder / CARD), CARD)
    except Unreadable as unreadable:
        raise CardError.of_folder(folder, unreadable.mistakes) from unreadable
    found = _read(folder, Value(root, "", 1, CARD, mistakes), mistakes)
    if mistakes or found is None:
        raise CardError.of_folder(folder, sorted(dict.fromkeys(mistakes), key=_order))
    return found


def _order(mistake: Mistake) -> tuple[bool, str, int]:
    return mistake.file != CARD, mistake.file, mistake.line


def _read(folder: Path, root: Value, mistakes: list[Mistake]) -> ModeCard | None:
    keys = root.keys(KEYS, REQUIRED)
    name = keys["name"].name()
    if name is not None:
        _check_name(keys["name"], name, folder)
    sizes = _sizes(keys)
    events = keys["events"].names(limits.MAX_EVENTS)
    values: dict[str, Any] = {
        "name": name,
        "description": keys["description"].text(300),
        "folder": folder,
        **sizes,
        "speed_m_per_s": keys["speed_m_per_s"].number(0.0, 30.0, above=True),
        "map_half_m": keys["map_half_m"].number(10.0, limits.MAX_MAP_HALF_M),
        "zone": _zone(keys["zone"]),
        "weapons": tuple(_weapon(item) for item in keys["weapons"].items(limits.MAX_WEAPONS, fewest=1)),
        "respawn_s": _or(keys["respawn_s"], keys["respawn_s"].number(0.0, 600.0), 0.0),
        "match_s": keys["match_s"].number(0.0, limits.MAX_MATCH_S, above=True),
        "backfill_until": _or(keys["backfill_until"], keys["backfill_until"].number(0.0, 1.0), 0.0),
        "score": tuple(_score(item) for item in keys["score"].items(limits.MAX_SCORE_FIELDS)),
        "objects": _objects(keys["objects"]),
        "rows": _rows(keys["rows"]),
        "shows": _shows(keys["shows"]),
        "bots": _bots(keys["bots"]),
        "events": events,
    }
    found = _map(folder, keys["map"], values["map_half_m"], mistakes)
    values["boxes"], values["bases"] = (found.boxes, found.bases) if found else ((), ())
    values["rule_set"] = folder / (_file(keys["rule_set"], ".json") or "rule_set.json")
    contradictions(root, values, found)
    mistakes += rule_set_mistakes(values["rule_set"], sizes)
    mistakes += hook_mistakes(folder, needs_goal=values["bots"].goal == "hook")
    if mistakes:
        return None
    return ModeCard(**values)


def _check_name(value: Value, name: str, folder: Path) -> None:
    if not name[0].isalpha() or len(name) > limits.MAX_NAME:
        value.refuse(
            f"must begin with a letter and have at most {limits.MAX_NAME} characters (it is {name!r})"
        )
    elif name != folder.name:
        value.refuse(f"is {name}, and its folder {folder.name}: give both the same name")


def _sizes(keys: Mapping[str, Value]) -> dict[str, Any]:
    """The numbers of players and teams; None where one is wrong."""
    each_alone = _or(keys["each_alone"], keys["each_alone"].flag(), False)
    teams = _or(keys["teams"], keys["teams"].whole(1, limits.MAX_PLAYERS), 0)
    size = keys["team_size"].keys(("min", "max"), ("min", "max") if keys["team_size"].given else ())
    smallest, largest = (size[key].whole(1, limits.MAX_PLAYERS) for key in ("min", "max"))
    players = keys["players"].keys(("full", "min", "fill_s", "sized_by_settings"), ("full", "min"))
    sized = players["sized_by_settings"]
    sizes = {
        "each_alone": each_alone,
        "teams": teams,
        "team_size_min": 1 if each_alone else smallest,
        "team_size_max": 1 if each_alone else largest,
        "players_full": players["full"].whole(2, limits.MAX_PLAYERS),
        "players_min": players["min"].whole(2, limits.MAX_PLAYERS),
        "fill_s": _or(players["fill_s"], players["fill_s"].number(0.0, limits.MAX_FILL_S), 0.0),
        "sized_by_settings": _or(sized, sized.flag(), False),
    }
    size_contradictions(keys, players, size, sizes)
    return sizes


def _or(value: Value, read: Any, default: Any) -> Any:
    """What was read; the default where the key is not given; None where it is wrong."""
    return read if value.given else default


def _zone(value: Value) -> Zone | None:
    names = ("max_spawn_radius_m", "margin_m", "hold_share", "points_per_s")
    keys = value.keys(names, names if value.given else ())
    radius_m = keys["max_spawn_radius_m"].number(0.0, limits.MAX_MAP_HALF_M, above=True)
    margin_m = keys["margin_m"].number(0.0, 2 * limits.MAX_MAP_HALF_M)
    hold_share = keys["hold_share"].number(0.0, 1.0)
    points_per_s = keys["points_per_s"].number(0.0, 1_000.0)
    if radius_m is None or margin_m is None or hold_share is None or points_per_s is None:
        return None
    return Zone(radius_m, margin_m, hold_share, points_per_s)


def _weapon(value: Value) -> Weapon | None:
    names = ("name", "damage_points", "interval_ticks", "range_m")
    keys = value.keys(names, names)
    name, damage = keys["name"].name(), keys["damage_points"].number(0.0, 1_000.0, above=True)
    interval, range_m = keys["interval_ticks"].whole(1, 3_600), keys["range_m"].number(1.0, 2_900.0)
    if name is None or damage is None or interval is None or range_m is None:
        return None
    return Weapon(name, damage, interval, range_m)


def _score(value: Value) -> ScoreField | None:
    keys = value.keys(("name", "limit"), ("name",))
    name = keys["name"].name()
    limit = _or(keys["limit"], keys["limit"].whole(0, limits.MAX_SCORE), 0)
    return None if name is None or limit is None else ScoreField(name, limit)


def _objects(value: Value) -> Mapping[str, int]:
    counts = {kind: each.whole(1, limits.MAX_ENTITIES) for kind, each in value.named(OBJECT_KINDS).items()}
    return {kind: number for kind in OBJECT_KINDS if (number := counts.get(kind))}


def _rows(value: Value) -> OwnRows:
    rows = value.named(("players", "teams", "match"))
    return OwnRows(**{whose: each.names(limits.MAX_OWN_ROWS) for whose, each in rows.items()})


def _shows(value: Value) -> Shows:
    shown = {what: each.choice(VIEWERS) for what, each in value.named(("health", "connection")).items()}
    return Shows(
        health=cast(Viewer, shown.get("health") or "everybody"),
        connection=cast(Viewer, shown.get("connection") or "everybody"),
    )


def _bots(value: Value) -> Bots:
    goals = {key: each.choice(GOALS) for key, each in value.named(("goal",)).items()}
    return Bots(goal=cast(Goal, goals.get("goal") or "zone"))


def _file(value: Value, suffix: str) -> str | None:
    """The name of a file of the folder, or None."""
    name = value.text(64)
    if name is None:
        return None
    if Path(name).name != name or not name.endswith(suffix):
        value.refuse(f"must be the name of a {suffix} file in the folder (it is {name!r})")
        return None
    return name


def _map(folder: Path, value: Value, map_half_m: float | None, mistakes: list[Mistake]) -> Map | None:
    """The map that the card names, None without one; what is wrong with it is noted."""
    name = _file(value, ".yaml")
    if name is None:
        if not value.given and (folder / "map.yaml").exists():
            value.refuse("is missing, though the folder has a map.yaml: add `map: map.yaml`, or remove it")
        return None
    try:
        return read_map(folder / name, map_half_m, mistakes)
    except Unreadable as unreadable:
        gone = [
            mistake for mistake in unreadable.mistakes if not mistake.line and "missing" in mistake.reason
        ]
        if gone:
            value.refuse(f"names {name}, which is not in the folder")
        else:
            mistakes += unreadable.mistakes
        return None
