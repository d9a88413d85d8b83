"""A real match, watched in a real browser: the map moves, the ticks are counted, and a player who is clicked
is followed.

LAUNCHDAY_SCREENSHOTS names a folder to leave pictures of the pages in.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from launchday import identity
from launchday.identity import signer_of
from launchday.settings import Settings
from tests.browser import NARROW, WIDE, Browser, browser
from tests.dedicated_server.match.conftest import meta_client, new_match, playing
from tests.dedicated_server.match.test_warm_servers import running_fleet
from tests.optional import needs

pytestmark = [needs("chromium"), pytest.mark.timeout(300), pytest.mark.usefixtures("kernels")]

PLAYERS = 60 if os.environ.get("LAUNCHDAY_SCREENSHOTS") else 12


async def test_the_map_of_a_match_moves(meta_process: Settings) -> None:
    async with running_fleet(meta_process) as fleet, meta_client(meta_process) as meta, browser() as seen:
        player_ids = [(await meta.login_device(f"map-device-{n}")).player_id for n in range(PLAYERS)]
        match = new_match(player_ids, match_s=200.0)
        given = await fleet.allocate(match)
        # Who stands still is seen to move only when the zone shrinks, and the view with it, half a minute
        # later.
        async with playing(match.tokens(given.port), walk=(40, 25)):
            base = await sign_in(meta_process, seen, str(fleet.admin.base_url))
            page = seen.page
            await page.goto(f"{base}/servers/{given.name}")
            await page.get_by_test_id("under-map").get_by_text("playing").wait_for()
            places = (
                "[...document.querySelectorAll('.ld-one:has(.ld-map-player)')]"
                ".map(one => one.style.transform.replaceAll(' ', '')).join(' ')"
            )
            before = await page.evaluate(places)
            assert 1 <= len(before.split()) <= PLAYERS
            await seen.until(f"({places}) !== {before!r}")

            frame = await fleet.admin.map(given.name)
            assert {player["player_id"] for player in frame["players"]} == {str(id_) for id_ in player_ids}
            await choose_a_player(seen)
            await page.get_by_test_id("following").get_by_text("100 hp").wait_for()
            await page.get_by_test_id("interest").click()
            await page.locator(".ld-map-horizon").wait_for()
            await page.keyboard.press("Escape")
            await page.locator(".ld-map-horizon").wait_for(state="detached")
            report = (await fleet.admin.gameserver(given.name))["report"]
            assert sum(report["tick_histogram"]["counts"]) >= 60
            await take_pictures(seen, base, given.name)
            assert seen.complaints == []

            await page.goto(f"{base}/players")
            await page.get_by_test_id("player-id").fill(str(player_ids[0]))
            await page.get_by_test_id("look-up").click()
            await page.get_by_text(f"by {given.name}, for").wait_for()
            await (
                page.get_by_text("yes", exact=True)
                .or_(page.get_by_text("no, it waits to be written"))
                .wait_for()
            )
            await take_pictures_of_players(seen, base, str(player_ids[0]))
            await take_pictures_of_sign_in(seen, base)


async def sign_in(settings: Settings, seen: Browser, url: str) -> str:
    """Show an operator's token; returns the page's address."""
    token = signer_of(settings, "loadtest").service_token("ann", time.time(), roles=(identity.OPERATOR,))
    await seen.page.goto(url)
    await seen.page.get_by_label("Token").fill(token)
    await seen.page.get_by_role("button", name="Sign in").click()
    await seen.page.get_by_test_id("tile-ready").wait_for()
    return seen.page.url.rstrip("/")


async def choose_a_player(seen: Browser) -> None:
    """Click where a player is. The map is drawn anew five times a second, so the place is asked for, not the
    element.
    """
    place = """() => {
        const players = document.querySelectorAll('.ld-map-player');
        const box = players[Math.floor(players.length / 3)].getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }"""
    await seen.page.locator(".ld-map").scroll_into_view_if_needed()
    while not await seen.page.locator(".ld-map-chosen").count():
        await seen.page.mouse.click(*await seen.page.evaluate(place))
        await asyncio.sleep(0.5)


async def take_pictures(seen: Browser, base: str, server: str) -> None:
    """Leave pictures of each page, wide and narrow, light and dark, where a folder for them is named."""
    if not (folder := os.environ.get("LAUNCHDAY_SCREENSHOTS")):
        return
    page = seen.page
    for theme in ("light", "dark"):
        for name, path in (("overview", "/"), ("servers", "/servers"), ("server", f"/servers/{server}")):
            for width, size in (("wide", WIDE), ("narrow", NARROW)):
                await page.set_viewport_size(size)  # type: ignore[arg-type]
                await page.goto(base + path)
                await page.locator(".ld-card").first.wait_for()
                await asyncio.sleep(1.5)  # until the charts have drawn themselves
                if name == "server":
                    await choose_a_player(seen)
                await page.screenshot(path=Path(folder) / f"console-{name}-{width}-{theme}.png")
        await page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        await page.get_by_label("Light or dark").click()


async def take_pictures_of_players(seen: Browser, base: str, player_id: str) -> None:
    """Leave pictures of the page that looks a player up, likewise."""
    async for path in _looks(seen, "players"):
        await seen.page.goto(f"{base}/players")
        await seen.page.get_by_test_id("player-id").fill(player_id)
        await seen.page.get_by_test_id("look-up").click()
        await seen.page.get_by_text("Fence").wait_for()
        await asyncio.sleep(0.5)  # until the field's name has moved out of the way
        await seen.page.screenshot(path=path)


async def take_pictures_of_sign_in(seen: Browser, base: str) -> None:
    """Leave pictures of the page where visitors sign in, likewise."""
    async for path in _looks(seen, "sign-in"):
        await seen.page.goto(f"{base}/sign-in")
        await seen.page.get_by_role("button", name="Sign in").wait_for()
        await seen.page.screenshot(path=path)


async def _looks(seen: Browser, name: str) -> AsyncIterator[Path]:
    """Wide and narrow, light and dark (a page follows the visitor's system); where a picture of each goes."""
    if not (folder := os.environ.get("LAUNCHDAY_SCREENSHOTS")):
        return
    for theme in ("light", "dark"):
        for width, size in (("wide", WIDE), ("narrow", NARROW)):
            await seen.page.set_viewport_size(size)  # type: ignore[arg-type]
            yield Path(folder) / f"console-{name}-{width}-{theme}.png"
        await seen.page.goto(seen.page.url.rsplit("/", 1)[0] + "/players")
        await seen.page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        await seen.page.get_by_label("Light or dark").click()
        await asyncio.sleep(0.5)  # until the choice is stored
