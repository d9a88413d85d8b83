"""The page of all game servers: a table on a wide screen, cards on a narrow one, each with a link."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from nicegui import events, ui

from dedicated_server.fleet.console.layout import Session, card, current_session, format_age, page
from dedicated_server.fleet.pool.states import State
from launchday.clock import Clock
from launchday.settings import Settings

PERIOD_S = 1.0
ALL = "All"
COLUMNS = (
    ("name", "Server", "left"),
    ("region", "Region", "left"),
    ("state", "State", "left"),
    ("since", "For", "right"),
    ("heartbeat", "Heartbeat", "right"),
    ("players", "Players", "right"),
    ("tick", "Tick, ms", "right"),
    ("port", "Port", "right"),
    ("match", "Match", "left"),
)


def install(settings: Settings, clock: Clock) -> None:
    """Add the page."""

    @ui.page("/servers", title="Servers · launchday")
    async def servers() -> None:
        who = current_session(settings, clock)
        if who is None:
            return
        with page(who, "/servers"):
            shown = ServersPage(who, settings.region_names)
        await shown.renew()
        ui.timer(PERIOD_S, shown.renew)


class ServersPage:
    """One visitor's table of servers."""

    def __init__(self, who: Session, regions: tuple[str, ...]) -> None:
        self._who = who
        with card("Game servers"):
            with ui.element("div").classes("ld-filters"):
                self._region = ui.select([ALL, *regions], value=ALL, label="Region", on_change=self.renew)
                self._state = ui.select(
                    [ALL, *(state.value for state in State)], value=ALL, label="State", on_change=self.renew
                )
                self._gone = ui.switch("Include those that are gone", value=False, on_change=self.renew)
                for field in (self._region, self._state):
                    field.props("outlined dense options-dense")
            self._table = ui.table(
                columns=[
                    {"name": name, "label": label, "field": name, "align": align, "sortable": True}
                    for name, label, align in COLUMNS
                ],
                rows=[],
                row_key="name",
                pagination={"rowsPerPage": 20, "sortBy": "name"},
            )
            self._table.classes("ld-table").props(
                'flat dense :grid="Quasar.Screen.lt.md" data-testid="servers" '
                'no-data-label="No game server is here now."'
            )
            self._table.add_slot(
                "body-cell-state",
                '<q-td :props="props"><span :class="`ld-state ld-state-${props.value}`">'
                "{{ props.value }}</span></q-td>",
            )
            self._table.add_slot(
                "item",
                """<div class="ld-server-card" @click="$parent.$emit('open', props.row.name)">
                <div class="ld-server-card-top"><span>{{ props.row.name }}</span>
                <span :class="`ld-state ld-state-${props.row.state}`">{{ props.row.state }}</span></div>
                <div class="ld-note">for {{ props.row.since }} · heartbeat {{ props.row.heartbeat }} ago ·
                {{ props.row.players || 'no' }} players<span v-if="props.row.tick">
                · tick {{ props.row.tick }} ms</span></div></div>""",
            )
            self._table.on("rowClick", self._open_row)
            self._table.on("open", lambda event: _open(str(event.args)))

    async def renew(self) -> None:
        """Read the servers and show them."""
        filters = {
            "region": "" if self._region.value == ALL else self._region.value,
            "state": "" if self._state.value == ALL else self._state.value,
            "live": "" if self._gone.value else "true",
        }
        async with self._who.fleet_calls() as fleet:
            found = await fleet.gameservers(**{name: value for name, value in filters.items() if value})
            rows = [_row(server, self._who.clock.wall()) for server in found]
            if rows != self._table.rows:
                self._table.update_rows(rows, clear_selection=False)

    def _open_row(self, event: events.GenericEventArguments) -> None:
        _open(str(event.args[1]["name"]))


def _open(name: str) -> None:
    ui.navigate.to(f"/servers/{quote(name, safe='')}")


def _row(server: dict[str, Any], now: float) -> dict[str, Any]:
    report = server["report"]
    tick_us = report.get("tick_us") or {}
    return {
        "name": server["name"],
        "region": server["region"],
        "state": server["state"],
        "since": format_age(server["state_since"], now),
        "heartbeat": format_age(server["last_health_at"], now),
        "players": report.get("players_connected", ""),
        "tick": f"{tick_us['p50'] / 1000:.2f}" if tick_us else "",
        "port": server["port"],
        "match": (server["match_id"] or "")[:8],
    }
