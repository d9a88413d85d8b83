"""What in a card contradicts something else in it, each at the place that is to be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dedicated_server.cards import card as limits
from dedicated_server.cards.map_file import Map
from dedicated_server.cards.values import Value


def size_contradictions(
    keys: Mapping[str, Value], players: Mapping[str, Value], size: Mapping[str, Value], sizes: dict[str, Any]
) -> None:
    """Note where numbers of players and teams disagree; one that is wrong is None, or becomes it."""
    full, fewest = sizes["players_full"], sizes["players_min"]
    if full is not None and fewest is not None and fewest > full:
        players["min"].refuse(f"is more than the {full} of a full match")
        sizes["players_min"] = fewest = None
    if sizes["each_alone"] is None:
        return
    if sizes["each_alone"]:
        for key in ("teams", "team_size"):
            if keys[key].given:
                keys[key].refuse("has no meaning where each_alone is true; leave one of them out")
        return
    if sizes["sized_by_settings"]:
        players["sized_by_settings"].refuse("must be false where there are teams: their size is the card's")
    if not keys["teams"].given and not keys["team_size"].given:
        keys["each_alone"].refuse("must be true, or teams and team_size are given")
        return
    for key in ("teams", "team_size"):
        if not keys[key].given:
            keys[key].refuse("is missing")
    teams, smallest, largest = sizes["teams"], sizes["team_size_min"], sizes["team_size_max"]
    if smallest is not None and largest is not None and smallest > largest:
        size["min"].refuse(f"is more than the {largest} of a full team")
        sizes["team_size_min"] = None  # nothing else is compared with it
        return
    for key, each, of_a_team in (("full", full, largest), ("min", fewest, smallest)):
        if teams and None not in (each, of_a_team) and each != teams * of_a_team:
            players[key].refuse(f"must be {teams * of_a_team}: {teams} teams of {of_a_team} (it is {each})")


def contradictions(root: Value, values: Mapping[str, Any], found: Map | None) -> None:
    """Note where the other sections disagree; what is None is wrong already."""
    half_m, zone = values["map_half_m"], values["zone"]
    if half_m is not None and zone is not None and zone.max_spawn_radius_m > half_m:
        root.at("zone", "max_spawn_radius_m").refuse(
            f"lets players begin beyond the map, which reaches to {half_m:g} m from its centre"
        )
    for key in ("weapons", "score"):
        seen: set[str] = set()
        for index, each in enumerate(values[key]):
            if each is not None and each.name in seen:
                root.at(key, index, "name").refuse(f"{each.name} is given twice")
            seen.add(each.name if each is not None else "")
    if values["each_alone"] and values["score"]:
        root.at("score").refuse("is kept for teams, and each is alone here; leave it out")
    fields, teams = len(values["score"]), values["teams"] or 0
    if fields * teams > limits.MAX_SCORES:
        root.at("score").refuse(
            f"makes {fields * teams} scores of {teams} teams; there may be {limits.MAX_SCORES} in all"
        )
    objects = values["objects"]
    if objects.get("flag", 0) > limits.MAX_FLAGS:
        root.at("objects", "flag").refuse(f"must be at most {limits.MAX_FLAGS} (it is {objects['flag']})")
    entities = sum(objects.values()) + (values["players_full"] or 0)
    if entities > limits.MAX_ENTITIES:
        root.at("objects").refuse(
            f"makes {entities:,} entities with the players; there may be {limits.MAX_ENTITIES:,}"
        )
    if found is None or not found.bases_given:
        return
    if values["each_alone"]:
        found.bases_at.refuse("are for teams, and each is alone here; leave them out")
    elif teams and found.bases_given != teams:
        found.bases_at.refuse(f"must be one for each of the {teams} teams (there are {found.bases_given})")
