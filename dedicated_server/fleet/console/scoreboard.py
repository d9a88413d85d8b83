"""The score beside the map: teams with their fields, flags and players, and what happened last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dedicated_server.fleet.console.camera import is_taken, is_there
from dedicated_server.fleet.console.following import name_of
from dedicated_server.fleet.console.map_objects import flag_line
from dedicated_server.fleet.console.teams import team_mark, team_tag
from dedicated_server.fleet.console.text import clock, shown

MOST_NEWS: Final = 8


def draw_score(frame: dict[str, Any]) -> str:
    """Return the teams' scores as HTML."""
    scores = frame.get("scores", [])
    players = [one for one in frame["players"] if is_taken(one)]
    teams = sorted({one["team"] for one in players} | set(range(_counted(scores))))
    flags = [one for one in frame.get("objects", ()) if one["kind"] == "flag"]
    heads = [*(_titled(one["name"]) for one in scores), "kills", "alive"]
    rows = []
    for team in teams:
        members = [one for one in players if one["team"] == team]
        cells = [_score(one, team) for one in scores]
        cells.append(f"<td>{sum(one['kills'] for one in members)}</td>")
        alive = sum(one["alive"] and is_there(one) for one in members)
        cells.append(f"<td>{alive} of {len(members)}</td>")
        own = [flag_line(flag, frame) for flag in flags if flag["team"] == team]
        where = f'<span class="ld-flag-where">flag {", ".join(own)}</span>' if own else ""
        won = _won(members)
        rows.append(
            f'<tr data-k="t{team}"><th scope="row">{team_tag(team)}{won}{where}</th>{"".join(cells)}</tr>'
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<table class="ld-score"><tr><th scope="col">team</th>{head}</tr>{"".join(rows)}</table>'


def draw_players(frame: dict[str, Any]) -> str:
    """Return everybody as HTML, by team, or with each for themselves by who is ahead; a click follows one."""
    each_alone = bool(frame.get("each_alone", False))
    players = [one for one in frame["players"] if is_taken(one)]
    if each_alone:
        players.sort(
            key=lambda one: (
                one.get("placement") or len(players) + 1,
                not one["alive"],
                -one["kills"],
                one["entity"],
            )
        )
    else:
        players.sort(key=lambda one: (one["team"], -one["kills"], one["entity"]))
    rows = "".join(
        f'<tr data-k="l{one["entity"]}"><th scope="row">{_pick(one, each_alone)}</th>'
        f"<td>{one['kills']}</td><td>{one['deaths']}</td><td>{_life(one)}</td></tr>"
        for one in players
    )
    return (
        '<table class="ld-score"><tr><th scope="col">player</th><th scope="col">kills</th>'
        f'<th scope="col">deaths</th><th scope="col">health</th></tr>{rows}</table>'
    )


def draw_news(
    news: Sequence[Mapping[str, Any]], when: Callable[[int], str], *, each_alone: bool, jumps: bool = False
) -> str:
    """Return what happened last as HTML, the newest first.

    Args:
        news: as frames have it, the oldest first.
        when: says the time of a tick.
        each_alone: whether each player is a team.
        jumps: whether a time is a button that is picked with its tick.
    """
    lines = []
    for one in list(reversed(news))[:MOST_NEWS]:
        time = shown(when(one["tick"]))
        if jumps:
            time = f'<button type="button" class="ld-pick" data-pick="{one["tick"]}">{time}</button>'
        key = f"n{one['tick']}-{one['kind']}-{one['victim']}-{one['actor']}"
        lines.append(
            f'<li data-k="{shown(key)}"><span class="ld-when">{time}</span>'
            f"<span>{_told(one, each_alone)}</span></li>"
        )
    if not lines:
        return '<p class="ld-note">Nothing has happened yet.</p>'
    return f'<ol class="ld-news">{"".join(lines)}</ol>'


def draw_under(frame: dict[str, Any]) -> str:
    """Return the line below the map: who is alive, the zone, the time."""
    players = [one for one in frame["players"] if is_taken(one)]
    alive = sum(one["alive"] and is_there(one) for one in players)
    parts = [f"<span><b>{alive}</b> of {len(players)} alive</span>"]
    if frame.get("has_zone", True):
        parts.append(f"<span>zone <b>{frame['zone']['r']:.0f} m</b></span>")
    if frame.get("left_s") is not None and frame["phase"] == "playing":
        parts.append(f"<span><b>{clock(frame['left_s'])}</b> left</span>")
    parts.append(f"<span>{shown(frame['phase'])}, tick <b>{shown(frame['tick'])}</b></span>")
    return "".join(parts)


def result_line(frame: dict[str, Any]) -> str:
    """Return who has won as HTML, once the match is over; "" before."""
    winners = [one for one in frame["players"] if one.get("placement") == 1 and is_taken(one)]
    if frame["phase"] != "over" or not winners:
        return ""
    if frame.get("each_alone", False):
        return f"<span><b><bdi>{shown(name_of(winners[0]))}</bdi></b> has won</span>"
    return f"<span>{team_tag(winners[0]['team'])} has won</span>"


def _told(one: Mapping[str, Any], each_alone: bool) -> str:
    actor = "" if one["actor"] is None else _named(one, "actor", each_alone)
    victim = "" if one["victim"] is None else _named(one, "victim", each_alone)
    match one["kind"]:
        case "kill":
            with_what = f' <span class="ld-with">{shown(one["weapon"])}</span>' if one["weapon"] else ""
            return f"{actor} killed {victim}{with_what}"
        case "death":
            return f"{victim} died"
        case kind:
            return f"{actor} {_titled(kind)} {victim}".strip()


def _named(one: Mapping[str, Any], role: str, each_alone: bool) -> str:
    mark = team_mark(one[f"{role}_team"], each_alone)
    return f"{mark}<bdi>{shown(one[f'{role}_name'])}</bdi>"


def _pick(player: dict[str, Any], each_alone: bool) -> str:
    """Return a player's name as a button that follows them."""
    return (
        f'<button type="button" class="ld-pick" data-pick="{player["entity"]}">'
        f"{team_mark(player['team'], each_alone)}<bdi>{shown(name_of(player))}</bdi></button>"
    )


def _life(player: dict[str, Any]) -> str:
    if not is_there(player):
        return '<span class="ld-gone">left</span>'
    if not player["alive"]:
        return '<span class="ld-gone">dead</span>'
    if not player["connected"]:
        return '<span class="ld-gone">away</span>'
    health = min(max(int(player["health"]), 0), 100)
    return (
        f'<span class="ld-health" title="{health} hp"><span style="width:{health}%"></span></span>'
        f'<span class="ld-hp">{health}</span>'
    )


def _won(members: list[dict[str, Any]]) -> str:
    return ' <span class="ld-won">won</span>' if any(one.get("placement") == 1 for one in members) else ""


def _score(field: dict[str, Any], team: int) -> str:
    value = field["teams"][team] if team < len(field["teams"]) else 0
    limit = f'<span class="ld-limit"> / {field["limit"]}</span>' if field["limit"] else ""
    return f'<td class="ld-points"><b>{value}</b>{limit}</td>'


def _counted(scores: list[dict[str, Any]]) -> int:
    return max((len(one["teams"]) for one in scores), default=0)


def _titled(name: str) -> str:
    return shown(name.replace("_", " "))
