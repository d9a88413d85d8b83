"""A real, headless Chromium for tests of pages, and what it complained of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Page, async_playwright

from tests.optional import chromium

FLAGS = [
    "--no-sandbox",  # root's Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 90_000  # on a machine that is busy with the rest of the tests
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass
class Browser:
    """A page of a browser, and the errors it has logged."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    async def text(self, testid: str) -> str:
        """The text of an element."""
        return (await self.page.get_by_test_id(testid).inner_text()).strip()

    async def until(self, script: str) -> None:
        """Wait until a JavaScript expression is true in the page."""
        await self.page.wait_for_function(script)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start a browser with an empty profile."""
    async with async_playwright() as playwright:
        chrome = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            context = await chrome.new_context(viewport=WIDE)  # type: ignore[arg-type]
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            found = Browser(page)
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on(
                "console",
                lambda message: found.complaints.append(message.text) if message.type == "error" else None,
            )
            yield found
        finally:
            await chrome.close()
