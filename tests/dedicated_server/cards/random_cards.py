"""Sound cards by chance, and one wrong thing planted in one of them, with the place where it is."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

GOAL = "def goal(view, client):\n    return 0.0, 0.0\n"
STEP = "def step(world):\n    pass\n"
KINDS = ("flag", "item", "projectile", "obstacle")
VIEWERS = ("everybody", "team", "self")
REQUIRED = (
    *("name", "description", "players", "speed_m_per_s", "map_half_m", "zone", "weapons", "match_s"),
    *("players/full", "players/min", "score/0/name", "teams", "team_size", "team_size/min", "team_size/max"),
    *("zone/max_spawn_radius_m", "zone/margin_m", "zone/hold_share", "zone/points_per_s"),
    *("weapons/0/name", "weapons/0/damage_points", "weapons/0/interval_ticks", "weapons/0/range_m"),
)
# Of every number: the least and the greatest that is right, and how much beyond them is wrong.
RANGES: dict[str, tuple[float, float, float]] = {
    "teams": (1, 1_600, 1),
    "team_size/min": (1, 1_600, 1),
    "team_size/max": (1, 1_600, 1),
    "players/full": (2, 1_600, 1),
    "players/min": (2, 1_600, 1),
    "players/fill_s": (0, 3_600, 0.5),
    "speed_m_per_s": (0.1, 30, 0.2),
    "map_half_m": (10, 1_024, 0.5),
    "zone/max_spawn_radius_m": (0.5, 1_024, 1.0),
    "zone/margin_m": (0, 2_048, 1),
    "zone/hold_share": (0, 1, 0.01),
    "zone/points_per_s": (0, 1_000, 1),
    "weapons/0/damage_points": (1, 1_000, 1),
    "weapons/0/interval_ticks": (1, 3_600, 1),
    "weapons/0/range_m": (1, 2_900, 1),
    "respawn_s": (0, 600, 1),
    "match_s": (1, 14_400, 1),
    "backfill_until": (0, 1, 0.1),
    "score/0/limit": (0, 4_095, 1),
    "objects/item": (1, 2_048, 1),
}


@dataclass
class RandomCard:
    """The files of one mode, as they will be written."""

    card: dict[str, Any]
    rule_set: dict[str, Any]
    map: dict[str, Any] | None = None
    hooks: str = STEP
    extra: dict[str, str] = field(default_factory=dict)  # text by file, in place of what it would be

    def write(self, folder: Path) -> Path:
        """Write it into a folder of its name, made in ``folder``; returns that."""
        own = folder / "random_mode"
        own.mkdir(parents=True)
        texts = {
            "card.yaml": yaml.safe_dump(self.card, sort_keys=False, allow_unicode=True),
            "rule_set.json": json.dumps(self.rule_set),
            "hooks.py": self.hooks,
        }
        if self.map is not None:
            texts["map.yaml"] = yaml.safe_dump(self.map, sort_keys=False)
        for name, text in (texts | self.extra).items():
            (own / name).write_text(text, encoding="utf-8")
        return own


def draw_card(rng: random.Random) -> RandomCard:
    """A sound card: every section may or may not be there, every number is anywhere in its range."""
    half_m = round(rng.uniform(40, 1_024), 1)
    alone = rng.random() < 0.3
    names = (f"n{number}" for number in range(1_000))
    card: dict[str, Any] = {
        "name": "random_mode",
        "description": rng.choice(("Each against all.", "Zwei Mannschaften: «rot» gegen blau", "x")),
    }
    if alone:
        most = rng.randint(2, 1_600)
        fewest, teams = rng.randint(2, most), 0
        card["each_alone"] = True
        card["players"] = {"full": most, "min": fewest}
        if rng.random() < 0.5:
            card["players"]["sized_by_settings"] = rng.random() < 0.5
        rules: dict[str, Any] = {"teams": [{"name": "all", "minPlayers": most, "maxPlayers": most}]}
        step = {"target": "teams[all].minPlayers", "steps": [{"waitTimeSeconds": 9, "value": fewest}]}
        rules["expansions"] = [step]
    else:
        teams, largest = rng.randint(2, 7), rng.randint(2, 60)
        smallest = rng.randint(1, largest)
        card["teams"], card["team_size"] = teams, {"min": smallest, "max": largest}
        card["players"] = {"full": teams * largest, "min": teams * smallest}
        shape = {"minPlayers": smallest, "maxPlayers": largest}
        if rng.random() < 0.5:
            rules = {"teams": [{"name": "side", "quantity": teams, **shape}]}
        else:
            rules = {"teams": [{"name": f"side{number}", **shape} for number in range(teams)]}
    if rng.random() < 0.7:
        card["players"]["fill_s"] = rng.choice((0, 30, 12.5, 3_600))
    card |= {"speed_m_per_s": round(rng.uniform(0.1, 30), 2), "map_half_m": half_m}
    found = _draw_map(rng, half_m, teams)
    if found is not None:
        card["map"] = "map.yaml"
    card["zone"] = {
        "max_spawn_radius_m": round(rng.uniform(0.5, half_m), 2),
        "margin_m": rng.choice((0, 50, 2_048, 1.5)),
        "hold_share": rng.choice((0, 1, 0.25)),
        "points_per_s": rng.choice((0, 10, 1_000)),
    }
    card["weapons"] = [
        {
            "name": next(names),
            "damage_points": rng.choice((1, 10, 0.5, 1_000)),
            "interval_ticks": rng.randint(1, 3_600),
            "range_m": round(rng.uniform(1, 2_900), 1),
        }
        for _ in range(rng.randint(1, 8))
    ]
    card["match_s"] = round(rng.uniform(1, 14_400), 1)
    optional: dict[str, Callable[[], Any]] = {
        "respawn_s": lambda: rng.choice((0, 3, 600, 2.5)),
        "backfill_until": lambda: rng.choice((0, 0.6, 1)),
        "objects": lambda: {
            kind: rng.randint(1, 15) for kind in ("item", *rng.sample(KINDS, rng.randint(0, 4)))
        },
        "rows": lambda: {
            whose: [next(names) for _ in range(rng.randint(0, 4))] for whose in ("players", "teams", "match")
        },
        "shows": lambda: {what: rng.choice(VIEWERS) for what in ("health", "connection")},
        "bots": lambda: {"goal": rng.choice(("zone", "hook"))},
        "events": lambda: [next(names) for _ in range(rng.randint(0, 16))],
        "rule_set": lambda: "rule_set.json",
    }
    if not alone:
        optional["score"] = lambda: [
            {"name": next(names), "limit": rng.choice((0, 3, 4_095))} for _ in range(rng.randint(1, 4))
        ]
    for key, value in optional.items():
        if rng.random() < 0.6:
            card[key] = value()
    hooks = GOAL if card.get("bots", {}).get("goal") == "hook" else STEP
    return RandomCard(card, rules, found, hooks)


def _draw_map(rng: random.Random, half_m: float, teams: int) -> dict[str, Any] | None:
    """Boxes in the north, bases in a row in the south, which therefore never meet; None: no map."""
    if rng.random() < 0.4:
        return None
    found: dict[str, Any] = {"boxes": []}
    for _ in range(rng.randint(1, 12)):
        west, south = rng.uniform(-half_m, half_m - 1), rng.uniform(2, half_m - 1)
        found["boxes"].append(
            {
                "west_m": round(west, 1),
                "south_m": round(south, 1),
                "east_m": round(rng.uniform(west + 0.5, half_m - 0.1), 1),
                "north_m": round(rng.uniform(south + 0.5, half_m - 0.1), 1),
            }
        )
    if teams and rng.random() < 0.6:
        width = 2 * half_m / teams
        radius = round(min(width / 2.2, half_m / 2.2) * rng.uniform(0.2, 0.9), 2)
        found["bases"] = [
            {"x_m": -half_m + width * (number + 0.5), "y_m": -half_m / 2, "radius_m": radius}
            for number in range(teams)
        ]
    return found


def plant(rng: random.Random, sound: RandomCard) -> tuple[str, str, str]:
    """Plant one wrong thing; returns its kind, the file and the place where it is."""
    kinds = list(WRONG)
    rng.shuffle(kinds)
    for kind in kinds:
        before = copy.deepcopy(vars(sound))
        file, place = WRONG[kind](rng, sound)
        if file:
            return kind, file, place
        vars(sound).update(before)
    raise AssertionError("nothing can be planted in this card")


Planted = tuple[str, str]
NOWHERE: Planted = ("", "")


def _values(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below the root, with its place."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in items:
        path = f"{place}/{key}" if place else str(key)
        yield path, below
        yield from _values(below, path)


def _at(node: Any, place: str) -> Any:
    for part in place.split("/") if place else ():
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def _put(node: Any, place: str, value: Any) -> None:
    way, _, last = place.rpartition("/")
    parent = _at(node, way)
    parent[int(last) if isinstance(parent, list) else last] = value


def _has(card: dict[str, Any], place: str) -> bool:
    return any(path == place for path, _ in _values(card))


def _any_type(rng: random.Random, made: RandomCard) -> Planted:
    place, value = rng.choice(list(_values(made.card)))
    if isinstance(value, bool):
        wrong: Any = rng.choice(("yes", 1, [True], {"a": 1}, None))
    elif isinstance(value, int | float):
        wrong = rng.choice(("many", True, [1], {"a": 1}, None, "1m"))
    elif isinstance(value, str):
        wrong = rng.choice((7, [value], {"a": 1}, None, True))
    else:
        wrong = rng.choice((7, "text", True))
    _put(made.card, place, wrong)
    return "card.yaml", place


def _of_the_map(rng: random.Random, made: RandomCard) -> Planted:
    if made.map is None:
        return NOWHERE
    numbers = [(place, value) for place, value in _values(made.map) if isinstance(value, float)]
    place, _ = rng.choice(numbers)
    _put(made.map, place, rng.choice(("wide", None, True, [1.0])))
    return "map.yaml", place


def _beyond_the_range(rng: random.Random, made: RandomCard) -> Planted:
    there = [place for place in RANGES if _has(made.card, place)]
    place = rng.choice(there)
    least, greatest, step = RANGES[place]
    _put(made.card, place, rng.choice((least - step, greatest + step, -(10**9), 10**9)))
    return "card.yaml", place


def _not_finite(rng: random.Random, made: RandomCard) -> Planted:
    place = rng.choice([place for place in RANGES if _has(made.card, place)])
    _put(made.card, place, rng.choice((float("nan"), float("inf"), -float("inf"))))
    return "card.yaml", place


def _unknown_key(rng: random.Random, made: RandomCard) -> Planted:
    mappings = ["", *(place for place, value in _values(made.card) if isinstance(value, dict))]
    place = rng.choice(mappings)
    key = rng.choice(("colour", "nam", "limits", "Min", "speed", "é"))
    _at(made.card, place)[key] = rng.choice((1, "red", [], {"a": 1}))
    return "card.yaml", f"{place}/{key}" if place else key


def _missing(rng: random.Random, made: RandomCard) -> Planted:
    place = rng.choice([each for each in REQUIRED if _has(made.card, each)])
    way, _, last = place.rpartition("/")
    del _at(made.card, way)[last]
    return "card.yaml", place


def _bad_name(rng: random.Random, made: RandomCard) -> Planted:
    names = [
        place
        for place, value in _values(made.card)
        if isinstance(value, str) and (place.endswith("name") or place.startswith(("events/", "rows/")))
    ]
    place = rng.choice(names)
    _put(made.card, place, rng.choice(("Red", "a b", "x" * 65, "flagge_ü", "a-b", "a.b", " a")))
    return "card.yaml", place


def _name_twice(rng: random.Random, made: RandomCard) -> Planted:
    lists = [
        (place, value)
        for place, value in _values(made.card)
        if isinstance(value, list) and 0 < len(value) < (4 if place == "score" else 8)
    ]
    if not lists:
        return NOWHERE
    place, value = rng.choice(lists)
    value.append(copy.deepcopy(value[0]))
    if place == "score" and made.card["teams"] * len(value) > 31:
        return NOWHERE
    return "card.yaml", f"{place}/{len(value) - 1}" + ("/name" if isinstance(value[0], dict) else "")


def _too_many(rng: random.Random, made: RandomCard) -> Planted:
    key, most = rng.choice((("weapons", 8), ("events", 16)))
    one = made.card["weapons"][0] if key == "weapons" else ""
    made.card[key] = [
        {**one, "name": f"m{number}"} if isinstance(one, dict) else f"m{number}" for number in range(most + 1)
    ]
    return "card.yaml", key


def _not_the_teams_sum(rng: random.Random, made: RandomCard) -> Planted:
    if "teams" not in made.card:
        return NOWHERE
    players = made.card["players"]
    key = rng.choice(("full", "min"))
    players[key] += 1 if key == "full" or players["min"] < players["full"] else -1
    return "card.yaml", f"players/{key}"


def _fewest_above_the_most(rng: random.Random, made: RandomCard) -> Planted:
    if "teams" in made.card:
        made.card["team_size"]["min"] = made.card["team_size"]["max"] + 1
        made.card["players"]["min"] = made.card["players"]["full"]
        return "card.yaml", "team_size/min"
    return NOWHERE


def _alone_in_teams(rng: random.Random, made: RandomCard) -> Planted:
    if "teams" in made.card:
        return NOWHERE
    key, value = rng.choice((("teams", 2), ("team_size", {"min": 1, "max": 2})))
    made.card[key] = value
    return "card.yaml", key


def _scores_of_nobody(rng: random.Random, made: RandomCard) -> Planted:
    if "teams" in made.card:
        return NOWHERE
    made.card["score"] = [{"name": "points"}]
    return "card.yaml", "score"


def _begins_beyond_the_map(rng: random.Random, made: RandomCard) -> Planted:
    if made.card["map_half_m"] > 1_000:
        return NOWHERE
    made.card["zone"]["max_spawn_radius_m"] = made.card["map_half_m"] + rng.uniform(0.5, 20)
    return "card.yaml", "zone/max_spawn_radius_m"


def _wrong_choice(rng: random.Random, made: RandomCard) -> Planted:
    section, key = rng.choice((("shows", "health"), ("shows", "connection"), ("bots", "goal")))
    if section not in made.card:
        return NOWHERE
    made.card[section][key] = rng.choice(("nobody", "Team", "hooks", "zones"))
    return "card.yaml", f"{section}/{key}"


def _no_such_kind(rng: random.Random, made: RandomCard) -> Planted:
    made.card.setdefault("objects", {})["tree"] = 3
    return "card.yaml", "objects/tree"


def _too_many_entities(rng: random.Random, made: RandomCard) -> Planted:
    made.card["objects"] = {"item": 1_000, "projectile": 1_048}
    return "card.yaml", "objects"


def _too_many_flags(rng: random.Random, made: RandomCard) -> Planted:
    made.card["objects"] = {"flag": 16}
    return "card.yaml", "objects/flag"


def _box_outside(rng: random.Random, made: RandomCard) -> Planted:
    if made.map is None or made.card["map_half_m"] > 1_000:
        return NOWHERE
    index = rng.randrange(len(made.map["boxes"]))
    side = rng.choice(("east_m", "north_m"))
    made.map["boxes"][index][side] = made.card["map_half_m"] + rng.uniform(0.5, 20)
    return "map.yaml", f"boxes/{index}/{side}"


def _box_inside_out(rng: random.Random, made: RandomCard) -> Planted:
    if made.map is None:
        return NOWHERE
    index = rng.randrange(len(made.map["boxes"]))
    box = made.map["boxes"][index]
    low, high = rng.choice((("west_m", "east_m"), ("south_m", "north_m")))
    box[high] = box[low]
    return "map.yaml", f"boxes/{index}/{high}"


def _no_map(rng: random.Random, made: RandomCard) -> Planted:
    made.card["map"] = rng.choice(("desert.yaml", "../map.yaml", "map.json", "/etc/passwd", "a/map.yaml"))
    made.map = None
    return "card.yaml", "map"


def _map_not_named(rng: random.Random, made: RandomCard) -> Planted:
    if made.map is None:
        return NOWHERE
    del made.card["map"]
    return "card.yaml", "map"


def _bases(made: RandomCard) -> list[dict[str, Any]]:
    return [] if made.map is None else made.map.get("bases", [])


def _a_base_too_few(rng: random.Random, made: RandomCard) -> Planted:
    bases = _bases(made)
    if not bases:
        return NOWHERE
    bases.pop()
    if not bases:
        return NOWHERE
    return "map.yaml", "bases"


def _bases_overlap(rng: random.Random, made: RandomCard) -> Planted:
    bases = _bases(made)
    if len(bases) < 2:
        return NOWHERE
    bases[-1].update(bases[0])
    return "map.yaml", f"bases/{len(bases) - 1}"


def _base_outside(rng: random.Random, made: RandomCard) -> Planted:
    bases = _bases(made)
    if not bases or made.card["map_half_m"] > 1_000:
        return NOWHERE
    bases[0]["x_m"] = -made.card["map_half_m"]
    return "map.yaml", "bases/0"


def _base_in_a_box(rng: random.Random, made: RandomCard) -> Planted:
    bases = _bases(made)
    if not bases:
        return NOWHERE
    assert made.map is not None
    index = rng.randrange(len(bases))
    x_m, y_m = bases[index]["x_m"], bases[index]["y_m"]
    made.map["boxes"] = [{"west_m": x_m - 1, "south_m": y_m - 1, "east_m": x_m + 1, "north_m": y_m + 1}]
    return "map.yaml", f"bases/{index}"


def _no_goal(rng: random.Random, made: RandomCard) -> Planted:
    made.card["bots"], made.hooks = (
        {"goal": "hook"},
        rng.choice((STEP, "", "goal = 3\n", "class goal: pass\n")),
    )
    return "hooks.py", "goal"


def _hook_of_other_arguments(rng: random.Random, made: RandomCard) -> Planted:
    name = rng.choice(("spawn", "respawn", "step", "on_death", "over", "placements", "goal"))
    made.hooks = (
        made.hooks if f"def {name}(" not in made.hooks else ""
    ) + f"\ndef {name}(a, b, c, d, e): ...\n"
    made.card.pop("bots", None)
    return "hooks.py", name


def _hooks_no_python(rng: random.Random, made: RandomCard) -> Planted:
    made.hooks = rng.choice(("def step(world):\nreturn 1\n", "def (", "\x00", "x = 'ü\n"))
    return "hooks.py", ""


def _other_team_size(rng: random.Random, made: RandomCard) -> Planted:
    index = rng.randrange(len(made.rule_set["teams"]))
    made.rule_set["teams"][index]["maxPlayers"] += 1
    return "rule_set.json", f"teams/{index}/maxPlayers"


def _other_number_of_teams(rng: random.Random, made: RandomCard) -> Planted:
    made.rule_set["teams"].append(copy.deepcopy(made.rule_set["teams"][0]))
    return "rule_set.json", "teams"


def _other_fewest(rng: random.Random, made: RandomCard) -> Planted:
    made.rule_set.pop("expansions", None)
    index = rng.randrange(len(made.rule_set["teams"]))
    team = made.rule_set["teams"][index]
    fewest = made.card["team_size"]["min"] if "teams" in made.card else made.card["players"]["min"]
    team["minPlayers"] = fewest + 1
    return "rule_set.json", f"teams/{index}/minPlayers"


def _no_json(rng: random.Random, made: RandomCard) -> Planted:
    made.extra["rule_set.json"] = rng.choice(("{", "", '{"teams": NaN}', "[" * 5_000))
    return "rule_set.json", ""


def _key_twice(rng: random.Random, made: RandomCard) -> Planted:
    key = rng.choice(("speed_m_per_s", "match_s", "map_half_m"))
    text = yaml.safe_dump(made.card, sort_keys=False, allow_unicode=True)
    made.extra["card.yaml"] = f"{text}{key}: 5\n"
    return "card.yaml", key


def _yaml_beyond_ours(rng: random.Random, made: RandomCard) -> Planted:
    text = yaml.safe_dump(made.card, sort_keys=False, allow_unicode=True)
    more = rng.choice(
        (
            "x: &anchor 1\n",
            "x: *anchor\n",
            "x: !!python/object:os.system ls\n",
            "x: [[[[[[[[1]]]]]]]]\n",
            "? {a: 1}\n: 1\n",
            "--- \nx: 1\n",
            "x: [\n",
            "\tx: 1\n",
            "x: '\\x'\n: : :\n",
            "x: " + "[" * 20_000,
        )
    )
    made.extra["card.yaml"] = text + more
    return "card.yaml", "*"


WRONG: dict[str, Callable[[random.Random, RandomCard], Planted]] = {
    name.removeprefix("_"): function
    for name, function in list(globals().items())
    if callable(function) and getattr(function, "__annotations__", {}).get("return") == "Planted"
}
