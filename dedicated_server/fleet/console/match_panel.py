"""A match to look at: map, whom to follow, score, players, what happened; of a server or a recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nicegui import events, ui

from dedicated_server.fleet.console.camera import has_narrow_view, is_there
from dedicated_server.fleet.console.following import name_of
from dedicated_server.fleet.console.layout import card, empty
from dedicated_server.fleet.console.live_markup import LiveMarkup
from dedicated_server.fleet.console.match_map import MatchMap
from dedicated_server.fleet.console.scoreboard import (
    draw_news,
    draw_players,
    draw_score,
    draw_under,
    result_line,
)
from dedicated_server.fleet.console.teams import team_letters
from dedicated_server.fleet.console.text import clock
from launchday.escapes import escaped

NOBODY: Final = -1  # in the list of whom to follow
KEYS: Final = "Keys: n and p follow the next and the one before, Esc nobody; + and − go nearer and further."


class MatchPanel:
    """One visitor's view of a match.

    Args:
        title: of the map's card.
        on_jump: called with the tick of what happened, when its time is chosen; None: times are no buttons.
        live: whether the match is played now: what is sent to a player is known then alone.
    """

    def __init__(
        self, title: str = "Match", on_jump: Callable[[int], None] | None = None, *, live: bool = True
    ) -> None:
        self._map = MatchMap()
        self._frame: dict[str, Any] | None = None
        self._options: dict[int, str] = {}
        self._on_jump = on_jump
        with ui.element("div").classes("ld-watch"):
            with card(title, classes="ld-watched") as self._card:
                self._draw_controls(live)
                self._drawing = LiveMarkup(on_point=self._point).classes("ld-map").props('data-testid="map"')
                self._nothing = empty("map", "No match is played here now.")
                self._reason = self._nothing.default_slot.children[-1]
                self._told = LiveMarkup().classes("ld-map-under").props('data-testid="following" role=status')
                self._under = LiveMarkup().classes("ld-map-under").props('data-testid="under-map"')
            with ui.element("div").classes("ld-stack") as self._side:
                with card("Score") as self._score_card:
                    self._score = LiveMarkup().props('data-testid="score"')
                with card("Players", "click one to follow them"):
                    self._players = LiveMarkup(on_pick=self._pick_player).classes("ld-scrolled")
                    self._players.props('data-testid="players"')
                with card("What happened"):
                    self._news = LiveMarkup(on_pick=self._pick_time).props('data-testid="news"')
        ui.keyboard(on_key=self._key, ignore=["input", "select", "textarea"])

    def show(
        self,
        frame: dict[str, Any] | None,
        *,
        reason: str = "No match is played here now.",
        when: Callable[[int], str] | None = None,
    ) -> None:
        """Show a frame of the spectator feed.

        Args:
            frame: None: there is none.
            reason: why, where there is none.
            when: says the time of a tick; None: how long play had lasted.
        """
        self._frame = frame
        for element in (self._drawing, self._under, self._side, self._controls, self._told):
            element.set_visibility(frame is not None)
        self._nothing.set_visibility(frame is None)
        if frame is None:
            assert isinstance(self._reason, ui.label)
            self._reason.set_text(escaped(reason))
            return
        self._when = when or _played_at(frame)
        self._offer_players(frame)
        self._draw(frame)

    def _draw(self, frame: dict[str, Any]) -> None:
        each_alone = bool(frame.get("each_alone", False))
        self._drawing.show(self._map.draw(frame))
        self._under.show(draw_under(frame))
        followed = self._map.following
        self._told.show(result_line(frame) + followed.describe(frame))
        self._whole.set_visibility(has_narrow_view(frame))
        self._score_card.set_visibility(not each_alone)
        if not each_alone:
            self._score.show(draw_score(frame))
        self._players.show(draw_players(frame))
        jumps = self._on_jump is not None
        self._news.show(draw_news(frame.get("news", ()), self._when, each_alone=each_alone, jumps=jumps))
        chosen = NOBODY if followed.entity is None else followed.entity
        if self._follow.value != chosen:
            self._follow.value = chosen

    def _draw_controls(self, live: bool) -> None:
        with ui.element("div").classes("ld-filters ld-map-controls") as self._controls:
            self._follow = ui.select(
                {NOBODY: "Nobody"}, value=NOBODY, label="Follow", on_change=self._follow_chosen
            ).props('outlined dense options-dense data-testid="follow" aria-label="Follow"')
            self._whole = ui.switch("Whole map", value=False, on_change=self._look_changed).props("dense")
            self._sent = ui.switch("What is sent to them", value=False, on_change=self._look_changed)
            self._sent.props('dense data-testid="interest"')
            self._sent.set_visibility(live)
            with ui.element("div").classes("ld-zoom"):
                for icon, steps, name in (("remove", -1, "Further away"), ("add", 1, "Nearer")):
                    button = ui.button(icon=icon, on_click=lambda steps=steps: self._zoom(steps))
                    button.props(f'flat round dense aria-label="{name}"').tooltip(f"{name}. {KEYS}")

    def _offer_players(self, frame: dict[str, Any]) -> None:
        """Renew the list of whom to follow, where it is another one."""
        each_alone = bool(frame.get("each_alone", False))
        options = {NOBODY: "Nobody"}
        for one in sorted(frame["players"], key=lambda one: (one["team"], one["entity"])):
            if is_there(one):
                letters = "" if each_alone else f"{team_letters(one['team'])} · "
                options[one["entity"]] = escaped(f"{letters}{name_of(one)}")
        if options != self._options:
            self._options = options
            value = self._follow.value if self._follow.value in options else NOBODY
            self._follow.set_options(options, value=value)

    def _player(self, entity: int) -> dict[str, Any] | None:
        players = [] if self._frame is None else self._frame["players"]
        return next((one for one in players if one["entity"] == entity and is_there(one)), None)

    def _follow_chosen(self, event: events.ValueChangeEventArguments) -> None:
        entity = NOBODY if event.value is None else int(event.value)
        if entity != (NOBODY if self._map.following.entity is None else self._map.following.entity):
            self._map.following.choose(self._player(entity))
            self._redraw()

    def _pick_player(self, name: str) -> None:
        if name.isdecimal():
            self._map.following.choose(self._player(int(name)))
            self._redraw()

    def _pick_time(self, name: str) -> None:
        if name.isdecimal() and self._on_jump is not None:
            self._on_jump(int(name))

    def _point(self, x: float, y: float) -> None:
        self._map.pick(x, y)
        self._redraw()

    def _zoom(self, steps: int) -> None:
        self._map.camera.nearer(steps)
        self._redraw()

    def _look_changed(self) -> None:
        self._map.camera.whole_map = bool(self._whole.value)
        self._map.shows_interest = bool(self._sent.value)
        self._redraw()

    def _key(self, event: events.KeyEventArguments) -> None:
        if not event.action.keydown or self._frame is None or event.modifiers.ctrl or event.modifiers.alt:
            return
        match event.key.name:
            case "n" | "p":
                self._map.following.step(self._frame, 1 if event.key.name == "n" else -1)
            case "Escape":
                self._map.following.choose(None)
            case "+" | "-":
                self._map.camera.nearer(1 if event.key.name == "+" else -1)
            case _:
                return
        self._redraw()

    def _redraw(self) -> None:
        if self._frame is not None:
            self._draw(self._frame)


def _played_at(frame: dict[str, Any]) -> Callable[[int], str]:
    """Say how long play had lasted at a tick."""
    played_s, tick, tick_hz = frame.get("played_s") or 0.0, frame["tick"], frame.get("tick_hz", 60)
    return lambda at: clock(played_s - (tick - at) / tick_hz)
