"""What every page has: session, links to other pages, light and dark, a banner for errors of the fleet."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from nicegui import app, ui

from dedicated_server.fleet.client import FleetAdminClient, FleetError, mutual_tls
from dedicated_server.fleet.console.signing import current_signer
from launchday import identity
from launchday.clock import Clock
from launchday.settings import Settings

PAGES = (
    ("/", "Overview", "dashboard"),
    ("/servers", "Servers", "dns"),
    ("/players", "Players", "person_search"),
)
Drawn = TypeVar("Drawn", bound=ui.element)
STYLE = Path(__file__).with_name("console.css")


class Session:
    """A visitor's session on one page, with the client that asks the fleet in their name.

    Attributes:
        clock: the time.
        name: the visitor, as their token names them.
        is_operator: whether they may change something.
        client: asks the fleet.
    """

    def __init__(self, settings: Settings, token: str, caller: identity.Identity, clock: Clock) -> None:
        self.clock = clock
        self.name = caller.subject
        self.is_operator = identity.OPERATOR in caller.roles
        self.client = FleetAdminClient(
            settings.fleet_url,
            token,
            patience_s=5.0,
            tls=mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key),
        )
        self.banner: ui.element | None = None
        self.error_label: ui.label | None = None

    @contextlib.asynccontextmanager
    async def fleet_calls(self) -> AsyncIterator[FleetAdminClient]:
        """Give the client for calls.

        An error of the fleet is shown in the banner; the page keeps what it shows.
        """
        try:
            yield self.client
        except FleetError as error:
            self.show_error(str(error))
        else:
            self.show_error("")

    def show_error(self, error: str) -> None:
        """Show an error above the page; "" hides it."""
        if self.banner is not None:
            self.banner.set_visibility(bool(error))
            if error and self.error_label is not None:
                self.error_label.set_text(f"The fleet does not answer as it should: {error}")

    async def act(self, what: str, call: Callable[[], Awaitable[Any]]) -> bool:
        """Run an operator's action, show how it went, and return whether it succeeded."""
        try:
            await call()
        except FleetError as error:
            ui.notify(f"{what}: {error}", type="negative", position="top")
            return False
        ui.notify(what, type="positive", position="top", timeout=2000)
        return True


def current_session(settings: Settings, clock: Clock) -> Session | None:
    """Return the visitor's session.

    A visitor without a valid token is sent to the sign-in page, and None is returned.
    """
    token = str(app.storage.user.get("token", ""))
    signer = current_signer(settings, clock)
    try:
        caller = signer.verify(token, signer.time(clock))
    except identity.InvalidTokenError:
        ui.navigate.to("/sign-in")
        return None
    return Session(settings, token, caller, clock)


def apply_theme(dark: ui.dark_mode | None = None) -> ui.dark_mode:
    """Give a page the console's style and the visitor's choice of light or dark."""
    ui.add_css(STYLE)
    mode = dark or ui.dark_mode()
    mode.bind_value(app.storage.user, "dark")
    return mode


@contextlib.contextmanager
def page(who: Session, here: str) -> Iterator[None]:
    """Draw the header of a page; its content goes inside the block."""
    if "dark" not in app.storage.user:
        app.storage.user["dark"] = None  # follows the visitor's system
    mode = apply_theme()
    with ui.header().classes("ld-header"), ui.element("div").classes("ld-bar"):
        with ui.link(target="/").classes("ld-brand"):
            ui.element("span").classes("ld-logo")
            ui.label("launchday")
        with ui.element("nav").classes("ld-nav"):
            for target, name, icon in PAGES:
                with ui.link(target=target).classes("ld-link" + (" ld-here" if target == here else "")):
                    ui.icon(icon)
                    ui.label(name)
        with ui.element("div").classes("ld-who"):
            ui.label("operator" if who.is_operator else "viewer").classes("ld-chip").tooltip(who.name)
            toggle = ui.button(icon="contrast", on_click=lambda: toggle_theme(mode)).props("flat round dense")
            toggle.tooltip("Light or dark").props('aria-label="Light or dark"')
            ui.button(icon="logout", on_click=_sign_out).props(
                'flat round dense aria-label="Sign out"'
            ).tooltip("Sign out")
    with ui.element("main").classes("ld-main"):
        with ui.element("div").classes("ld-banner") as banner:
            ui.icon("cloud_off")
            who.error_label = ui.label("")
        banner.set_visibility(False)
        who.banner = banner
        yield


@contextlib.contextmanager
def card(title: str, note: str = "", classes: str = "") -> Iterator[ui.element]:
    """Draw a part of a page under a title; its content goes inside the block."""
    with ui.element("section").classes(f"ld-card {classes}") as section:
        with ui.element("div").classes("ld-card-head"):
            ui.label(title).classes("ld-title")
            if note:
                ui.label(note).classes("ld-note")
        yield section


def empty(icon: str, text: str) -> ui.element:
    """Draw what a part without content shows."""
    with ui.element("div").classes("ld-empty") as element:
        ui.icon(icon)
        ui.label(text)
    return element


def tested(element: Drawn, name: str) -> Drawn:
    """Name an element for tests. The name may be anybody's, so it is no part of a text of properties."""
    element.props["data-testid"] = name
    return element


def tile(name: str, testid: str, tone: str = "") -> ui.label:
    """Draw a number under a name; return the label of the number."""
    with ui.element("div").classes(f"ld-tile {tone}"):
        ui.label(name).classes("ld-tile-name")
        return ui.label("–").classes("ld-tile-value").props(f'data-testid="{testid}"')


def format_age(at: float | None, now: float) -> str:
    """Return how long before ``now`` something was, in words; both are Unix seconds."""
    if at is None:
        return "–"
    seconds = max(0.0, now - at)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_time(at: float) -> str:
    """Return the time of day of a moment (Unix seconds), in UTC as in all logs."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def toggle_theme(mode: ui.dark_mode) -> None:
    """Change between light and dark."""
    mode.value = not mode.value


def _sign_out() -> None:
    app.storage.user.pop("token", None)
    ui.navigate.to("/sign-in")
