"""A recording in the browser: ``launchday replay FILE --watch``. It is a local file, so nobody signs in.

The page is served on the loopback alone, and to requests that name it alone: a page of elsewhere that gives
this machine a name of its own gets nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from nicegui import events, run, ui
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dedicated_server.fleet.console.layout import STYLE, toggle_theme
from dedicated_server.fleet.console.live_markup import LiveMarkup
from dedicated_server.fleet.console.match_panel import MatchPanel
from dedicated_server.fleet.console.recorded_match import SPEEDS, RecordedMatch
from dedicated_server.fleet.console.text import clock, shown
from dedicated_server.simulation.event_buffer import KILL, MODE_EVENT
from launchday.clock import Clock
from launchday.escapes import escaped

HOST: Final = "127.0.0.1"
FRAME_S: Final = 0.2
STEP_S: Final = 5.0  # of the arrow keys
BEFORE_S: Final = 3.0  # shown before what happened
BAR_UNITS: Final = 1000.0
KEYS: Final = "Space plays and pauses, the arrows go 5 s back and on."


async def serve(path: Path, port: int, clock_: Clock, say: Callable[[str], None]) -> None:
    """Serve a recording until the process is told to end.

    Args:
        path: the recording.
        port: of the loopback; 0: any that is free.
        clock_: the time, and threads.
        say: is given the page's address, once it can be opened.

    Raises RecordingError where nothing of it can be shown, and OSError.
    """
    match = RecordedMatch(path)
    ended = False
    listening = socket.create_server((HOST, port))
    clock_.start_thread(lambda: match.read_all(lambda: ended), "recording")
    try:
        config = uvicorn.Config(
            create_page(match, path.name, clock_),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        say(f"http://{HOST}:{listening.getsockname()[1]}/")
        await uvicorn.Server(config).serve([listening])
    finally:
        ended = True
        listening.close()


def create_page(match: RecordedMatch, name: str, clock_: Clock) -> FastAPI:
    """Build the application with the one page."""
    run.setup = lambda: None  # as of the fleet's console: no pool of processes
    app = FastAPI(title="launchday replay", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @ui.page("/", title=f"{escaped(name)} · launchday")
    async def recording() -> None:
        shown_page = ReplayPage(match, name, clock_)
        await shown_page.renew()
        ui.timer(FRAME_S, shown_page.renew)

    ui.run_with(app, title="launchday", show_welcome_message=False)
    return app


class ReplayPage:
    """One window on a recording. All windows show the same moment."""

    def __init__(self, match: RecordedMatch, name: str, clock_: Clock) -> None:
        self._match = match
        self._clock = clock_
        self._shown_at_s = clock_.monotonic()
        self._dragged = False
        config = match.timeline.config
        self._draw_header(f"{config.mode} · {len(config.players)} players · {name}")
        with ui.element("main").classes("ld-main"):
            with ui.element("div").classes("ld-banner ld-remark") as self._banner:
                ui.icon("info")
                self._remark = ui.label("").props('data-testid="remark"')
            self._banner.set_visibility(False)
            self._draw_transport()
            self._panel = MatchPanel("Match", on_jump=self._jump, live=False)
        ui.keyboard(on_key=self._key)

    async def renew(self) -> None:
        """Play on, and show the moment."""
        now_s = self._clock.monotonic()
        passed_s, self._shown_at_s = now_s - self._shown_at_s, now_s
        try:
            frame = await self._clock.run_in_thread(self._next_frame, passed_s)
        except Exception as error:  # the file is another now
            self._match.playing = False
            self._say(str(error))
            return
        self._panel.show(frame, when=self._time_of)
        self._show_transport()

    def _next_frame(self, passed_s: float) -> dict[str, Any]:
        self._match.advance(passed_s)
        return self._match.frame()

    def _draw_header(self, title: str) -> None:
        ui.add_css(STYLE)
        mode = ui.dark_mode(None)  # follows the visitor's system; nothing is stored
        with ui.header().classes("ld-header"), ui.element("div").classes("ld-bar"):
            with ui.element("div").classes("ld-brand"):
                ui.element("span").classes("ld-logo")
                ui.label("launchday replay")
            ui.label(escaped(title)).classes("ld-note ld-recorded")
            toggle = ui.button(icon="contrast", on_click=lambda: toggle_theme(mode))
            toggle.props('flat round dense aria-label="Light or dark"').tooltip("Light or dark")

    def _draw_transport(self) -> None:
        """Draw what says which moment is shown: play, time, speed, and the bar of what happened."""
        with ui.element("section").classes("ld-card ld-transport"):
            self._play = ui.button(icon="pause", on_click=self._toggle).props(
                'round unelevated dense data-testid="play" aria-label="Play or pause"'
            )
            self._play.tooltip(KEYS)
            self._time = ui.label("").classes("ld-clock").props('data-testid="time"')
            with ui.element("div").classes("ld-seek"):
                self._marks = LiveMarkup(on_point=self._point).classes("ld-marks")
                self._slider = ui.slider(min=0, max=1, step=0.1, value=0).props(
                    'data-testid="seek" aria-label="Moment"'
                )
                self._slider.on("pan", lambda event: self._pan(event.args))
                self._slider.on("change", lambda event: self._seek_s(event.args))
            self._speed = ui.toggle(
                {speed: f"{speed:g}×" for speed in SPEEDS}, value=self._match.speed, on_change=self._set_speed
            )
            self._speed.props('unelevated no-caps dense padding="4px 9px" data-testid="speed"')

    def _show_transport(self) -> None:
        match, timeline = self._match, self._match.timeline
        length_s, at_s = timeline.last_tick / match.tick_hz, match.tick / match.tick_hz
        more = "" if timeline.finished else " …"
        self._time.set_text(f"{clock(at_s)} / {clock(length_s)}{more}")
        self._play.props(f"icon={'pause' if match.playing else 'replay' if match.at_end else 'play_arrow'}")
        if not self._dragged:
            self._slider.props(f"max={max(length_s, 0.1):.1f}")
            self._slider.value = round(at_s, 1)
        if self._speed.value != match.speed:
            self._speed.value = match.speed
        self._marks.show(draw_marks(match))
        self._say(timeline.remark)

    def _say(self, remark: str) -> None:
        self._banner.set_visibility(bool(remark))
        self._remark.set_text(escaped(remark))

    def _time_of(self, tick: int) -> str:
        return clock(tick / self._match.tick_hz)

    def _toggle(self) -> None:
        if self._match.at_end:
            self._seek_s(0.0)
            self._match.playing = True
        else:
            self._match.playing = not self._match.playing

    def _set_speed(self, event: events.ValueChangeEventArguments) -> None:
        if event.value in SPEEDS:
            self._match.speed = float(event.value)

    def _pan(self, phase: Any) -> None:
        self._dragged = phase == "start"

    def _point(self, x: float, _y: float) -> None:
        self._match_to(round(x / BAR_UNITS * self._match.timeline.last_tick))

    def _jump(self, tick: int) -> None:
        self._match_to(tick - round(BEFORE_S * self._match.tick_hz))

    def _seek_s(self, seconds: Any) -> None:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            self._match_to(round(float(seconds) * self._match.tick_hz))

    def _match_to(self, tick: int) -> None:
        """Go to a moment, in a thread: it may have to be played up to there."""
        self._dragged = False
        ui.timer(0.0, lambda: self._go_to(tick), once=True)

    async def _go_to(self, tick: int) -> None:
        await self._clock.run_in_thread(self._match.go_to, tick)
        await self.renew()

    def _key(self, event: events.KeyEventArguments) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.alt:
            return
        if event.key.name == " " and not event.action.repeat:
            self._toggle()
        elif event.key.name in ("ArrowLeft", "ArrowRight"):
            by_s = STEP_S if event.key.name == "ArrowRight" else -STEP_S
            self._match_to(self._match.tick + round(by_s * self._match.tick_hz))


def draw_marks(match: RecordedMatch) -> str:
    """Return the bar of what happened: a line a kill, a taller one for what the mode rewards."""
    timeline, lines = match.timeline, {"ld-mark-kill": "", "ld-mark-event": ""}
    for record in timeline.happened:
        kind = int(record["kind"])
        x = BAR_UNITS * int(record["tick"]) / max(timeline.last_tick, 1)
        if kind == KILL:
            lines["ld-mark-kill"] += f"M{x:.0f} 22V14"
        elif kind >= MODE_EVENT:
            lines["ld-mark-event"] += f"M{x:.0f} 22V4"
    paths = "".join(f'<path class="{shown(css)}" d="{path}"/>' for css, path in lines.items())
    return f'<svg viewBox="0 0 {BAR_UNITS:g} 22" preserveAspectRatio="none" aria-hidden="true">{paths}</svg>'


async def watch(path: Path, port: int, clock_: Clock, say: Callable[[str], None]) -> None:
    """Serve a recording as `serve` does; Ctrl-C ends it without an error."""
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        await serve(path, port, clock_, say)
