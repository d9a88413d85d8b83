"""What every page has: who looks, a way to the others, light and dark, and a line that says when the fleet does not answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from nicegui import app, ui

from dedicated_server.fleet.client import FleetAdminClient, FleetError, mutual_tls
from launchday import identity
from launchday.settings import Settings

PAGES = (
    ("/", "Overview", "dashboard"),
    ("/servers", "Servers", "dns"),
    ("/players", "Players", "person_search"),
)
STYLE = Path(__file__).with_name("console.css")


class Session:
    """Who looks at a page, and the client that asks in his name."""

    def __init__(self, settings: Settings, token: str, caller: identity.Identity) -> None:
        self.name = caller.subject
        self.is_operator = identity.OPERATOR in caller.roles
        self.client = FleetAdminClient(
            settings.fleet_url,
            token,
            timeout_s=5.0,
            tls=mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key),
        )
        self.banner: ui.element | None = None
        self.error_label: ui.label | None = None

    @contextlib.asynccontextmanager
    async def fleet_calls(self) -> AsyncIterator[FleetAdminClient]:
        """Ask the fleet; what fails is shown on the page, which keeps what it has."""
        try:
            yield self.client
        except FleetError as error:
            self.show_error(str(error))
        else:
            self.show_error("")

    def show_error(self, trouble: str) -> None:
        """Show a trouble above the page, or that it is over."""
        if self.banner is not None:
            self.banner.set_visibility(bool(trouble))
            if trouble and self.error_label is not None:
                self.error_label.set_text(f"The fleet does not answer as it should: {trouble}")

    async def act(self, what: str, call: Callable[[], Awaitable[Any]]) -> bool:
        """Do what an operator clicked, and say how it went."""
        try:
            await call()
        except FleetError as error:
            ui.notify(f"{what}: {error}", type="negative", position="top")
            return False
        ui.notify(what, type="positive", position="top", timeout=2000)
        return True


def current_session(settings: Settings) -> Session | None:
    """Who looks; None when he has to sign in first, which he is sent to."""
    token = str(app.storage.user.get("token", ""))
    signer = identity.Signer(settings.identity_secret.get_secret_value())
    try:
        caller = signer.verify(token, time.time())
    except identity.InvalidTokenError:
        ui.navigate.to("/sign-in")
        return None
    return Session(settings, token, caller)


def apply_theme(dark: ui.dark_mode | None = None) -> ui.dark_mode:
    """Give a page the console's look."""
    ui.add_css(STYLE)
    mode = dark or ui.dark_mode()
    mode.bind_value(app.storage.user, "dark")
    return mode


@contextlib.contextmanager
def page(who: Session, here: str) -> Iterator[None]:
    """The frame of a page, with its content inside."""
    if "dark" not in app.storage.user:
        app.storage.user["dark"] = None  # as the visitor's system has it
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
            toggle = ui.button(icon="contrast", on_click=lambda: _toggle_theme(mode)).props(
                "flat round dense"
            )
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
    """A part of a page under a title."""
    with ui.element("section").classes(f"ld-card {classes}") as section:
        with ui.element("div").classes("ld-card-head"):
            ui.label(title).classes("ld-title")
            if note:
                ui.label(note).classes("ld-note")
        yield section


def empty(icon: str, text: str) -> ui.element:
    """What a part shows that has nothing to show."""
    with ui.element("div").classes("ld-empty") as element:
        ui.icon(icon)
        ui.label(text)
    return element


def tile(name: str, testid: str, tone: str = "") -> ui.label:
    """One number under a name; returns the number."""
    with ui.element("div").classes(f"ld-tile {tone}"):
        ui.label(name).classes("ld-tile-name")
        return ui.label("–").classes("ld-tile-value").props(f'data-testid="{testid}"')


def format_age(at: float | None, now: float | None = None) -> str:
    """How long ago something was, for people."""
    if at is None:
        return "–"
    seconds = max(0.0, (time.time() if now is None else now) - at)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _toggle_theme(mode: ui.dark_mode) -> None:
    mode.value = not mode.value


def _sign_out() -> None:
    app.storage.user.pop("token", None)
    ui.navigate.to("/sign-in")
