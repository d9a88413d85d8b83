"""Objects on the map: flags with their homes, items, projectiles. Obstacles lie on the `ground`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from dedicated_server.fleet.console.camera import Camera
from dedicated_server.fleet.console.following import name_of
from dedicated_server.fleet.console.teams import team_class, team_letters, team_mark
from dedicated_server.fleet.console.text import shown

TAIL_UNITS: Final = 22  # behind a projectile
POLE: Final = '<path class="ld-flag-pole" d="M0 2V-30"/>'
PENNANT: Final = '<path class="ld-flag-cloth" d="M0 -30h22l-6 8 6 8h-22z"/>'


def homes_of(frame: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Return where flags that are at home stand, metres by entity."""
    return {
        one["entity"]: (one["x"], one["y"])
        for one in frame.get("objects", ())
        if one["kind"] == "flag" and one["state"] == "home"
    }


def draw_objects_on_ground(
    homes: Mapping[int, tuple[float, float]], objects: list[dict[str, Any]], camera: Camera
) -> list[str]:
    """Return what lies below the players: homes of flags."""
    parts = []
    for one in objects:
        if one["kind"] == "flag" and one["entity"] in homes:
            x, y = camera.at(*homes[one["entity"]])
            parts.append(
                f'<g data-k="h{one["entity"]}" class="ld-one {team_class(one["team"])}" '
                f'style="transform:translate({x:.1f}px,{y:.1f}px)"><g class="ld-sized">'
                f'<circle class="ld-flag-home" r="20"/></g></g>'
            )
    return parts


def draw_object(one: dict[str, Any], frame: dict[str, Any], camera: Camera) -> str:
    """Return an object's group, where it is; "" for one that is not to be seen now."""
    match one["kind"]:
        case "flag":
            inner, css = _flag(one, frame), team_class(one["team"])
        case "item" if one["taken_by"] is None:
            inner, css = _item(one), ""
        case "projectile":
            inner, css = _projectile(one, frame), ""
        case _:
            return ""
    x, y = camera.at(one["x"], one["y"])
    return (
        f'<g data-k="o{one["entity"]}" class="ld-one {css}" style="transform:translate({x:.1f}px,{y:.1f}px)">'
        f'<g class="ld-sized">{inner}</g></g>'
    )


def _flag(one: dict[str, Any], frame: dict[str, Any]) -> str:
    """Return a flag: upright at home, above its carrier, fallen over where it was dropped."""
    letters = team_letters(one["team"])
    carrier = next((who for who in frame["players"] if who["entity"] == one["carrier"]), None)
    state = {"home": "at home", "dropped": "dropped"}.get(one["state"], "carried")
    by = f" by {name_of(carrier)}" if carrier is not None else ""
    told = f"<title>flag of {letters}, {state}{shown(by)}</title>"
    drawn = f'{POLE}{PENNANT}<text class="ld-flag-letter" x="8" y="-18.5">{letters}</text>'
    match one["state"]:
        case "carried":
            return f'<circle class="ld-flag-ring" r="17"/><g transform="translate(5,-6)">{drawn}{told}</g>'
        case "dropped":
            return f'<circle class="ld-flag-lies" r="15"/><g transform="rotate(52)">{drawn}{told}</g>'
        case _:
            return f"{drawn}{told}"


def _item(one: dict[str, Any]) -> str:
    return (
        '<path class="ld-item" d="M-7 -7h14v14h-14z"/><path class="ld-item-cross" d="M0 -4v8m-4 -4h8"/>'
        f"<title>item of kind {shown(one['what'])}</title>"
    )


def _projectile(one: dict[str, Any], frame: dict[str, Any]) -> str:
    """Return a projectile with a tail against its direction."""
    angle = math.degrees(math.atan2(-one["north"], one["east"]))
    owner = next((who for who in frame["players"] if who["entity"] == one["owner"]), None)
    told = f"<title>shot by {shown(name_of(owner))}</title>" if owner is not None else ""
    return (
        f'<g transform="rotate({angle:.0f})"><path class="ld-projectile-tail" d="M0 0h{-TAIL_UNITS}"/></g>'
        f'<circle class="ld-projectile" r="4.5"/>{told}'
    )


def flag_line(one: dict[str, Any], frame: dict[str, Any]) -> str:
    """Return where a flag is, as a line of HTML."""
    carrier = next((who for who in frame["players"] if who["entity"] == one["carrier"]), None)
    match one["state"]:
        case "carried" if carrier is not None:
            where = f"with {team_mark(carrier['team'])} <bdi>{shown(name_of(carrier))}</bdi>"
        case "carried":
            where = "carried"
        case "dropped":
            where = "dropped"
        case _:
            where = "at home"
    return where
