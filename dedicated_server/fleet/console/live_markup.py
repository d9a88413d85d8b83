"""Markup that a page renews several times a second without losing pointer, keyboard or movement."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import events, ui


class LiveMarkup(ui.element, component="live_markup.js"):  # type: ignore[call-arg, misc]
    """A part of a page that is one text of HTML or SVG.

    The text is shown as it is: whoever makes it escapes what is not its own.

    Args:
        on_pick: called with the ``data-pick`` of what was clicked, or chosen with the keyboard.
        on_point: called with the place of a click in an SVG, in its own units.
    """

    def __init__(
        self,
        *,
        on_pick: Callable[[str], None] | None = None,
        on_point: Callable[[float, float], None] | None = None,
    ) -> None:
        super().__init__()
        self._props["markup"] = ""
        self._on_pick, self._on_point = on_pick, on_point
        self.on("pick", self._picked)
        self.on("point", self._pointed)

    def show(self, markup: str) -> None:
        """Show another text."""
        if self._props["markup"] != markup:
            self._props["markup"] = markup
            self.update()

    def _picked(self, event: events.GenericEventArguments) -> None:
        if self._on_pick is not None:
            self._on_pick(str(event.args.get("name", "")))

    def _pointed(self, event: events.GenericEventArguments) -> None:
        if self._on_point is None:
            return
        try:
            x, y = float(event.args["x"]), float(event.args["y"])
        except (KeyError, TypeError, ValueError):
            return  # no click of the page's own
        self._on_point(x, y)
