"""The first page: all fleets and why they are so large, the queue before them, the events behind them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from dedicated_server.fleet.console.backend_client import BackendClient, BackendCounters
from dedicated_server.fleet.console.layout import (
    Session,
    card,
    current_session,
    empty,
    format_age,
    format_time,
    page,
    tested,
    tile,
)
from dedicated_server.fleet.pool.states import STARTING_STATES
from launchday.clock import Clock
from launchday.settings import Settings

PERIOD_S = 1.0
CHART_S = 300.0
SERIES = (
    ("allocated", "In matches", "#4a86f7"),
    ("ready", "Ready", "#22a873"),
    ("starting", "Starting", "#d99a1c"),
)
QUEUE = (("queued", "Players queued", "#8556d6"), ("p95", "p95 wait, s", "#d99a1c"))
SEGMENTS = ("ready", "allocated", "starting", "reserved")
MAX_ROWS = 7


def install(settings: Settings, clock: Clock) -> None:
    """Add the page."""
    backend = BackendClient(settings, clock)

    @ui.page("/", title="Overview · launchday")
    async def overview() -> None:
        who = current_session(settings, clock)
        if who is None:
            return
        with page(who, "/"):
            shown = OverviewPage(who, backend)
        await shown.renew()
        ui.timer(PERIOD_S, shown.renew)


class OverviewPage:
    """One visitor's overview."""

    def __init__(self, who: Session, backend: BackendClient) -> None:
        self._who = who
        self._backend = backend
        self._fleets: dict[str, FleetCard] = {}
        self._rows: tuple[Any, ...] | None = None
        self._dead_letter_rows: tuple[Any, ...] = ()
        self._failures: list[tuple[str, str, str]] | None = None
        with ui.element("div").classes("ld-tiles"):
            self._tiles = {
                name: tile(title, f"tile-{name}", tone)
                for name, title, tone in (
                    ("ready", "Ready", "ld-ready"),
                    ("allocated", "In matches", "ld-allocated"),
                    ("starting", "Starting", "ld-starting"),
                    ("searching", "Players queued", ""),
                    ("wait", "Wait p50 · p95, s", "ld-tile-small"),
                    ("lag", "Events behind", ""),
                    ("dead", "Dead letters", ""),
                    ("failed", "Matches failed", ""),
                )
            }
        self._fleet_area = ui.element("div").classes("ld-fleets")
        with ui.element("div").classes("ld-two ld-even"):
            with card("Servers by state", "the last five minutes"):
                self._chart = ui.echart(_chart_options(SERIES, stacked=True)).classes("ld-chart")
            with card("Queue and waits", "since this page was first opened"):
                self._queue = ui.echart(_chart_options(QUEUE, stacked=False)).classes("ld-chart")
                self._no_queue = empty("hourglass_empty", "The matchmaker does not answer.")
            with card("What the autoscaler changed"):
                self._decisions = ui.element("div").classes("ld-rows")
            with card("Matches that failed last"):
                self._failed = ui.element("div").classes("ld-rows")
            with card("Dead letters", "launchday events dead-letters shows and replays them"):
                self._dead_letters = ui.element("div").classes("ld-rows").props('data-testid="letters"')

    async def renew(self) -> None:
        """Read the fleets and the other services, and show them."""
        async with self._who.fleet_calls() as fleet:
            fleets, counters = await fleet.fleets(), await fleet.counters()
            history = await fleet.history(self._who.clock.wall() - CHART_S)
            decisions = await fleet.decisions()
            self._show_fleets(fleets)
            self._tiles["failed"].set_text(f"{counters['matches_failed']:,}")
            colour = "var(--failed)" if counters["matches_failed"] else "inherit"
            self._tiles["failed"].style(f"color: {colour}")
            self._show_history(history)
            self._show_decisions(decisions)
            self._show_failed([one for one in counters["reports"] if one["outcome"] == "failed"])
        self._show_counters(await self._backend.counters())
        self._show_dead_letters(await self._backend.dead_letters())

    def _show_fleets(self, fleets: list[dict[str, Any]]) -> None:
        totals = dict.fromkeys(SEGMENTS, 0)
        for one in fleets:
            if one["name"] not in self._fleets:
                with self._fleet_area:
                    self._fleets[one["name"]] = FleetCard(one["name"], self._who, self.renew)
            counts = grouped(one["counts"])
            self._fleets[one["name"]].show(one, counts)
            for name in SEGMENTS:
                totals[name] += counts[name]
        for name in ("ready", "allocated", "starting"):
            self._tiles[name].set_text(f"{totals[name]:,}")

    def _show_counters(self, found: BackendCounters) -> None:
        queue, events = found.queue, found.events
        self._queue.set_visibility(queue is not None)
        self._no_queue.set_visibility(queue is None)
        for column, series in enumerate(self._queue.options["series"], start=1):
            series["data"] = [
                [round(sample[0] * 1000), sample[column]] for sample in self._backend.queue_over_time
            ]
        self._tiles["searching"].set_text("–" if queue is None else f"{queue['searching']:,}")
        waits = {} if queue is None else queue["wait_s"]
        self._tiles["wait"].set_text(f"{waits['p50']:.1f} · {waits['p95']:.1f}" if waits else "–")
        lag = None if events is None else events.get("lag")
        self._tiles["lag"].set_text("–" if lag is None else f"{lag:,}")
        self._tiles["dead"].set_text("–" if events is None else f"{events['dead_letters']:,}")

    def _show_history(self, samples: list[dict[str, Any]]) -> None:
        for (name, _, _), series in zip(SERIES, self._chart.options["series"], strict=True):
            series["data"] = [
                [round(sample["at"] * 1000), sum(region[name] for region in sample["regions"].values())]
                for sample in samples
            ]

    def _show_decisions(self, decisions: list[dict[str, Any]]) -> None:
        rows = tuple(
            (one["at"], one["region"], one["idle_before"], one["idle"], one["reason"]) for one in decisions
        )
        if rows[:MAX_ROWS] == self._rows:
            return
        self._rows = rows[:MAX_ROWS]
        self._decisions.clear()
        with self._decisions:
            if not rows:
                empty("balance", "It has not changed anything yet.")
            for at, region, before, after, reason in self._rows:
                _row(
                    format_time(at),
                    f"{region}: {before} → {after} idle",
                    reason,
                )

    def _show_failed(self, reports: list[dict[str, Any]]) -> None:
        rows = [
            (one["server"], str(one.get("match_id") or ""), str(one.get("error", "")))
            for one in reports[-MAX_ROWS:]
        ]
        if rows == self._failures:
            return
        self._failures = rows
        self._failed.clear()
        with self._failed:
            if not rows:
                empty("task_alt", "No match has failed.")
            for server, match_id, error in reversed(rows):
                _row(match_id[:8] or "–", server, error or "its server ended")

    def _show_dead_letters(self, dead_letters: list[dict[str, Any]] | None) -> None:
        rows = (
            None
            if dead_letters is None
            else [(one["at"], one["origin"], one["reason"]) for one in dead_letters]
        )
        if (rows,) == self._dead_letter_rows:
            return
        self._dead_letter_rows = (rows,)
        self._dead_letters.clear()
        with self._dead_letters:
            if rows is None:
                empty("cloud_off", "The rewards service does not answer.")
            elif not rows:
                empty("mark_email_read", "No event was set aside.")
            for at, origin, reason in rows or []:
                _row(format_time(at), origin, reason)


class FleetCard:
    """One region: its servers as a bar, why there are so many, and an operator's actions."""

    def __init__(self, name: str, who: Session, renew: Callable[[], Any]) -> None:
        self._name = name
        self._who = who
        self._renew = renew
        self._state: dict[str, Any] = {}
        with tested(ui.element("section").classes("ld-card"), f"fleet-{name}"):
            with ui.element("div").classes("ld-fleet-top"):
                ui.label(name).classes("ld-fleet-name")
                self._flag = tested(ui.label("").classes("ld-flag"), f"flag-{name}")
            with ui.element("div").classes("ld-segments"):
                self._bars = {
                    kind: ui.element("div").classes(f"ld-segment ld-bg-{kind}") for kind in SEGMENTS
                }
            self._legend = tested(ui.html("", sanitize=False).classes("ld-legend"), f"legend-{name}")
            self._why = ui.label("").classes("ld-why")
            if who.is_operator:
                self._actions()

    def show(self, one: dict[str, Any], counts: dict[str, int]) -> None:
        """Read the fleets and the other services, and show them."""
        self._state = one
        flags = [flag for flag in ("draining", "cordoned") if one[flag]]
        self._flag.set_text(", ".join(flags))
        self._flag.set_visibility(bool(flags))
        for kind, bar in self._bars.items():
            bar.style(f"flex-grow: {counts[kind]}")
        names = {"ready": "Ready", "allocated": "in matches", "starting": "starting", "reserved": "reserved"}
        parts = [
            f'<span><i class="ld-dot ld-bg-{kind}"></i><b>{counts[kind]}</b> {names[kind]}</span>'
            for kind in SEGMENTS
            if counts[kind] or kind in ("ready", "allocated")
        ]
        parts.append(f"<span><b>{one['idle_wanted']}</b> wanted idle</span>")
        parts.append(f"<span><b>{one['max_servers']}</b> at most</span>")
        self._legend.set_content("".join(parts))
        decision = one["decision"] or {}
        override = one["set_by"]
        by = (
            f", set by {override['by']} {format_age(override['at'], self._who.clock.wall())} ago"
            if override
            else ""
        )
        self._why.set_text(
            f"{one['policy']}{by}, every {one['sync_s']:g} s: {decision.get('reason', 'not asked yet')}"
        )
        if self._who.is_operator:
            self._reset.set_visibility(override is not None)
            self._drain.set_text("Undrain" if one["draining"] else "Drain")
            self._cordon.set_text("Uncordon" if one["cordoned"] else "Cordon")

    def _actions(self) -> None:
        with ui.element("div").classes("ld-actions"):
            self._buffer = ui.number("Idle", value=None, min=0, max=4096, step=1).props("outlined dense")
            tested(self._buffer, f"buffer-{self._name}")
            setting = ui.button("Set", on_click=self._set_buffer).props("unelevated no-caps")
            tested(setting, f"set-{self._name}")
            self._reset = ui.button("As configured", on_click=self._reset_policy).props("flat no-caps")
            tested(self._reset, f"reset-{self._name}").tooltip("Follow the configured policy again")
            draining = partial(self._act, "draining", "drain", "undrain")
            self._drain = ui.button("Drain", on_click=draining).props("outline no-caps")
            tested(self._drain, f"drain-{self._name}")
            cordoning = partial(self._act, "cordoned", "cordon", "uncordon")
            self._cordon = ui.button("Cordon", on_click=cordoning).props("outline no-caps")
            tested(self._cordon, f"cordon-{self._name}")

    async def _set_buffer(self) -> None:
        if self._buffer.value is None:
            ui.notify("Say how many idle servers to keep.", position="top")
            return
        ready = int(self._buffer.value)
        await self._who.act(
            f"{self._name}: {ready} idle servers wanted",
            lambda: self._who.client.set_buffer(self._name, ready),
        )
        await self._renew()

    async def _reset_policy(self) -> None:
        await self._who.act(f"{self._name}: as configured", lambda: self._who.client.reset_policy(self._name))
        await self._renew()

    async def _act(self, flag: str, do: str, undo: str) -> None:
        action = undo if self._state.get(flag) else do
        await self._who.act(
            f"{self._name}: {action}", lambda: self._who.client.act_on_fleet(self._name, action)
        )
        await self._renew()


def grouped(counts: dict[str, int]) -> dict[str, int]:
    """Return counts by Agones' states as counts of the four kinds that the page shows."""
    return {
        "ready": counts.get("Ready", 0),
        "allocated": counts.get("Allocated", 0),
        "starting": sum(counts.get(state, 0) for state in STARTING_STATES),
        "reserved": counts.get("Reserved", 0),
    }


def _row(when: str, what: str, why: str) -> None:
    with ui.element("div").classes("ld-row"):
        ui.label(when)
        with ui.element("div"):
            ui.label(what)
            ui.label(why).classes("ld-note")


def _chart_options(lines: tuple[tuple[str, str, str], ...], *, stacked: bool) -> dict[str, Any]:
    grey = "#8a94a3"
    line = {"width": 0} if stacked else {"width": 2}
    return {
        "animation": False,
        "color": [colour for _, _, colour in lines],
        "useUTC": True,
        "grid": {"left": 36, "right": 36, "top": 34, "bottom": 24},
        "legend": {
            "top": 0,
            "left": 0,
            "itemWidth": 10,
            "itemHeight": 10,
            "icon": "roundRect",
            "textStyle": {"color": grey},
        },
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "name": "UTC",
            "nameTextStyle": {"color": grey},
            "axisLabel": {"color": grey, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": grey, "opacity": 0.4}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "axisLabel": {"color": grey},
            "splitLine": {"lineStyle": {"color": grey, "opacity": 0.18}},
        },
        "series": [
            {"name": title, "type": "line", "symbol": "none", "lineStyle": line, "data": []}
            | (
                {"stack": "servers", "areaStyle": {"opacity": 0.85}, "step": "end"}
                if stacked
                else {"areaStyle": {"opacity": 0.12}}
            )
            for _, title, _ in lines
        ],
    }
