"""The page of one game server: its match as it is played, the time of its ticks, its history and its log."""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from dedicated_server.fleet.client import FleetError, FleetRefusedError, UnknownInFleetError
from dedicated_server.fleet.console.layout import (
    Session,
    card,
    current_session,
    empty,
    format_age,
    format_time,
    page,
)
from dedicated_server.fleet.console.match_panel import MatchPanel
from dedicated_server.fleet.console.text import shown
from launchday.clock import Clock
from launchday.settings import Settings, in_url

PERIOD_S = 1.0
FRAME_S = 0.2


def install(settings: Settings, clock: Clock) -> None:
    """Add the page."""

    @ui.page("/servers/{name}", title="Server · launchday")
    async def server(name: str) -> None:
        who = current_session(settings, clock)
        if who is None:
            return
        with page(who, "/servers"):
            try:
                await who.client.gameserver(name)
            except FleetRefusedError:
                with card("Game server"):
                    empty("search_off", f"There is no game server {name}: it may be gone and forgotten.")
                return
            except FleetError as error:
                who.show_error(str(error))
            shown = ServerPage(name, who)
        await shown.renew()
        await shown.renew_map()
        ui.timer(PERIOD_S, shown.renew)
        ui.timer(FRAME_S, shown.renew_map)


class ServerPage:
    """One visitor's view of one server."""

    def __init__(self, name: str, who: Session) -> None:
        self._name = name
        self._who = who
        self._written = -1
        self._history: list[Any] = []
        self._log: list[str] = []
        with ui.element("div").classes("ld-head"):
            ui.label(name).classes("ld-head-name")
            self._state = ui.label("").classes("ld-state").props('data-testid="state"')
            if who.is_operator:
                with ui.element("div").classes("ld-actions"):
                    for action in ("drain", "cordon", "kill"):
                        button = ui.button(action.title(), on_click=partial(self._act, action))
                        button.props(
                            f'outline no-caps data-testid="{action}"'
                            + (" color=negative" if action == "kill" else "")
                        )
        self._panel = MatchPanel()
        with ui.element("div").classes("ld-two ld-even"):
            with ui.element("div").classes("ld-stack"):
                with card("Now"):
                    self._facts = ui.html("", sanitize=False).classes("ld-facts")
                with card("States"):
                    self._states = ui.element("div").classes("ld-rows")
            with card("Ticks"):
                self._budget = ui.label("").classes("ld-note")
                self._ticks = ui.echart(_histogram_options()).classes("ld-chart")
                self._no_ticks = empty("timer_off", "It has not ticked yet.")
        with card("Log"):
            self._log_label = ui.label("").classes("ld-log")

    async def renew(self) -> None:
        """Read the server and show it."""
        async with self._who.fleet_calls() as fleet:
            server = await fleet.gameserver(self._name)
            state = server["state"] + (" (gone)" if server["gone"] else "")
            self._state.set_text(state + (" · cordoned" if server["cordoned"] else ""))
            self._state.classes(replace=f"ld-state ld-state-{server['state']}")
            self._facts.set_content(_facts(server, self._who.clock.wall()))
            self._show_ticks(server["report"])
            self._show_history(server["history"])
            if server["log_tail"] != self._log:
                self._log = server["log_tail"]
                self._log_label.set_text("\n".join(self._log) or "It has written nothing.")

    async def renew_map(self) -> None:
        """Read the match and show it."""
        try:
            frame = await self._who.client.map(self._name)
        except FleetRefusedError as error:
            self._written = -1
            self._panel.show(None, reason=_nothing_to_see(error))
            return
        except FleetError:
            return  # the other look says so
        if frame["written"] != self._written:
            self._written = frame["written"]
            self._panel.show(frame)

    def _show_ticks(self, report: dict[str, Any]) -> None:
        histogram = report.get("tick_histogram")
        self._ticks.set_visibility(histogram is not None)
        self._no_ticks.set_visibility(histogram is None)
        if histogram is not None:
            edges, counts = histogram["edges_us"], histogram["counts"]
            self._budget.set_text(f"one may take {edges[-1] / 1000:.1f} ms")
            self._ticks.options["xAxis"]["data"] = [f"{edge / 1000:g}" for edge in edges] + ["more"]
            self._ticks.options["series"][0]["data"] = counts

    def _show_history(self, history: list[dict[str, Any]]) -> None:
        if history == self._history:
            return
        self._history = history
        self._states.clear()
        with self._states:
            for entry in reversed(history):
                with ui.element("div").classes("ld-row"):
                    ui.label(format_time(entry["at"]))
                    ui.label(entry["state"] + (f": {entry['reason']}" if entry.get("reason") else ""))

    async def _act(self, action: str) -> None:
        if await self._who.act(
            f"{self._name}: {action}", lambda: self._who.client.act_on_server(self._name, action)
        ):
            await self.renew()


def _nothing_to_see(error: FleetRefusedError) -> str:
    return "No match is played here now." if isinstance(error, UnknownInFleetError) else str(error)


def _facts(server: dict[str, Any], now: float) -> str:
    report = server["report"]
    tick, kbit = report.get("tick_us") or {}, report.get("kbit_per_client") or {}
    rows = {
        "Region": server["region"],
        "Address": f"{in_url(server['address'])}:{server['port']}",
        "Process": f"{server['pid'] or '–'} on {server['node'] or '–'}",
        "Started in": f"{server['start_ms']:.0f} ms" if server["start_ms"] is not None else "–",
        "Heartbeat": f"{format_age(server['last_health_at'], now)} ago",
        "Match": server["match_id"] or "–",
        "Players": f"{report['players_connected']} of {report['players_expected']}"
        if "players_expected" in report
        else "–",
        "Tick": f"{tick['p50'] / 1000:.2f} ms, 99 % within {tick['p99'] / 1000:.2f} ms" if tick else "–",
        "Bandwidth": f"{kbit['p50']:g} kbit/s a player, {kbit['max']:g} at most" if kbit else "–",
        "Memory": f"{server['memory_mb']:g} MB of its own" if server["memory_mb"] else "–",
    }
    return "".join(f"<span>{name}</span><span>{shown(value)}</span>" for name, value in rows.items())


def _histogram_options() -> dict[str, Any]:
    grey = "#8a94a3"
    return {
        "animation": False,
        "grid": {"left": 44, "right": 8, "top": 14, "bottom": 40},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "name": "ms, at most",
            "nameLocation": "middle",
            "nameGap": 26,
            "nameTextStyle": {"color": grey},
            "data": [],
            "axisLabel": {"color": grey},
            "axisLine": {"lineStyle": {"color": grey}},
        },
        "yAxis": {
            "type": "value",
            "axisLabel": {"color": grey},
            "splitLine": {"lineStyle": {"color": grey, "opacity": 0.18}},
        },
        "series": [
            {
                "type": "bar",
                "name": "ticks",
                "data": [],
                "barCategoryGap": "18%",
                "itemStyle": {"color": "#4a86f7", "borderRadius": [3, 3, 0, 0]},
            }
        ],
    }
