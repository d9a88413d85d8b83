"""The page on which visitors sign in with a token."""

from __future__ import annotations

from nicegui import app, ui

from dedicated_server.fleet.console.layout import apply_theme
from dedicated_server.fleet.console.signing import current_signer
from launchday import identity
from launchday.clock import Clock
from launchday.settings import Settings

ALLOWED_ROLES = frozenset({identity.SERVICE, identity.OPERATOR, identity.VIEWER})


def install(settings: Settings, clock: Clock) -> None:
    """Add the page."""

    @ui.page("/sign-in", title="Sign in · launchday")
    def sign_in() -> None:
        apply_theme()

        def enter() -> None:
            signer = current_signer(settings, clock)
            try:
                caller = signer.verify(token.value.strip(), signer.time(clock))
            except identity.InvalidTokenError as error:
                wrong.set_text(str(error))
                return
            if caller.roles.isdisjoint(ALLOWED_ROLES):
                wrong.set_text("This token is a player's; sign in with a viewer's or an operator's.")
                return
            app.storage.user["token"] = token.value.strip()
            ui.navigate.to("/")

        with ui.element("main").classes("ld-sign-in"), ui.element("section").classes("ld-card"):
            with ui.element("div").classes("ld-brand ld-brand-large"):
                ui.element("span").classes("ld-logo")
                ui.label("launchday")
            ui.label("Sign in with a token: a viewer's to look, an operator's to change something.").classes(
                "ld-note"
            )
            token = ui.input("Token", password=True).props("outlined autofocus").classes("ld-wide")
            token.on("keydown.enter", enter)
            wrong = ui.label("").classes("ld-wrong").props('role="alert"')
            ui.button("Sign in", on_click=enter).props("unelevated no-caps").classes("ld-wide")
            with ui.element("div").classes("ld-note"):
                ui.html("Get one with:<code>launchday fleet token --role operator</code>", sanitize=False)
