"""The fleet's web page in a real browser, before a real fleet whose servers have no game in them."""

from __future__ import annotations

import time
import uuid

import pytest
from fastapi import FastAPI

from dedicated_server.fleet.pool.region import Region
from dedicated_server.fleet.pool.states import State
from launchday import identity
from launchday.identity import signer_of
from launchday.problems import ProblemError
from launchday.settings import Settings
from tests.browser import NARROW, Browser, browser
from tests.dedicated_server.fleet.admin.test_operations import serving
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet, running_fleet
from tests.optional import needs

pytestmark = [needs("chromium"), pytest.mark.timeout(240)]


async def sign_in(fleet: RunningFleet, seen: Browser, role: str) -> str:
    """Go to the fleet's address and show a token; returns the address of the page."""
    signer = signer_of(fleet.settings, "loadtest")
    page = seen.page
    await page.goto(f"{fleet.url}/")
    await page.wait_for_url("**/sign-in")
    await page.get_by_label("Token").fill(signer.player_token(7, time.time(), 60))
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_text("This token is a player's").wait_for()
    await page.get_by_label("Token").fill(signer.service_token("ann", time.time(), roles=(role,)))
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_test_id(f"legend-{REGION}").wait_for()
    return page.url.rstrip("/")


async def test_an_operator_sees_the_numbers_of_the_api_and_steers_by_clicking(fleet: RunningFleet) -> None:
    async with browser() as seen:
        page, base = seen.page, await sign_in(fleet, seen, identity.OPERATOR)
        playing = await fleet.play("stay")
        await fleet.full()
        counts = (await fleet.admin.fleet())["total"]
        assert counts == {"Ready": 4, "Allocated": 1}
        await seen.until("document.querySelector('[data-testid=tile-allocated]').innerText == '1'")
        await seen.until(
            f"document.querySelector('[data-testid=tile-ready]').innerText == '{counts['Ready']}'"
        )
        assert (await seen.text(f"legend-{REGION}")).split("\n") == [
            "2 Ready",
            "1 in matches",
            "2 wanted idle",
            "10 at most",
        ]
        assert await seen.text("tile-lag") == "–"  # no rewards service answers here

        await page.get_by_test_id(f"buffer-{REGION}").fill("3")
        await page.get_by_test_id(f"set-{REGION}").click()
        await fleet.until(lambda: len(fleet.pool.in_state(REGION, State.READY)) == 3)
        await page.get_by_text(f"{REGION}: 2 → 3 idle").wait_for()
        await page.get_by_text("Buffer, set by ann").wait_for()
        await page.get_by_test_id(f"reset-{REGION}").click()
        await fleet.until(lambda: len(fleet.pool.in_state(REGION, State.READY)) == 2)
        await page.get_by_text("set by ann").wait_for(state="detached")

        await page.get_by_test_id("drain-east-us").click()
        await fleet.until(lambda: not fleet.pool.in_state("east-us", State.READY))
        await page.get_by_test_id("flag-east-us").get_by_text("draining").wait_for()
        await page.get_by_test_id("drain-east-us").get_by_text("Undrain").click()
        await fleet.until(lambda: len(fleet.pool.in_state("east-us", State.READY)) == 2)
        await page.get_by_test_id("cordon-east-us").click()
        await fleet.until(lambda: fleet.pool.regions["east-us"].cordoned)

        await page.goto(f"{base}/servers")
        rows = page.locator("[data-testid=servers] tbody tr")
        await rows.nth(4).wait_for()  # all five
        await page.get_by_text(playing).click()
        await page.wait_for_url(f"**/servers/{playing}")
        await page.get_by_text("No match is played here now.").wait_for()  # a stand-in shows none
        await page.get_by_text(f"playing {(await fleet.admin.gameserver(playing))['match_id']}").wait_for()
        assert await seen.text("state") == "Allocated"
        await page.get_by_test_id("kill").click()
        await page.get_by_text("Unhealthy: killed by ann").wait_for()
        server = fleet.pool.get(playing)
        assert server is not None
        await fleet.until(lambda: server.gone)

        await page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        await page.goto(f"{base}/servers")
        await page.locator(".ld-server-card").first.wait_for()
        for path in ("/", "/servers", f"/servers/{playing}", "/players"):
            await page.goto(base + path)
            await page.locator(".ld-card").first.wait_for()
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= NARROW["width"], f"{path} is {wide} pixels wide"
        assert seen.complaints == []


async def test_a_viewer_looks_and_the_page_says_when_something_is_away(
    fleet: RunningFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser() as seen:
        page, base = seen.page, await sign_in(fleet, seen, identity.VIEWER)
        assert await page.get_by_test_id(f"set-{REGION}").count() == 0
        dark = "document.body.classList.contains('body--dark')"
        before = await page.evaluate(dark)
        await page.get_by_label("Light or dark").click()
        await seen.until(f"{dark} != {str(before).lower()}")

        await page.goto(f"{base}/players")
        await page.get_by_test_id("player-id").fill("seven")
        await page.get_by_test_id("look-up").click()
        await page.get_by_text("A player's id is a whole number.").wait_for()
        await page.get_by_test_id("player-id").fill("7")
        await page.get_by_test_id("look-up").click()
        await page.get_by_text("The meta service does not answer").wait_for()

        await page.goto(f"{base}/servers/{uuid.uuid4()}")
        await page.get_by_text("There is no game server").wait_for()
        await page.goto(f"{base}/")
        await page.get_by_test_id(f"legend-{REGION}").wait_for()
        await page.get_by_test_id("letters").get_by_text("The rewards service does not answer.").wait_for()

        def away(_: Region) -> None:
            raise ProblemError(503, "away", "the fleet is away")

        with monkeypatch.context() as broken:
            broken.setattr(Region, "counts", away)
            await page.get_by_text(
                "The fleet does not answer as it should: HTTP 503: the fleet is away"
            ).wait_for()
        await page.locator(".ld-banner").wait_for(state="hidden")
        assert await seen.text(f"legend-{REGION}")  # it has kept what it had
        await page.get_by_label("Sign out").click()
        await page.wait_for_url("**/sign-in")
        await page.goto(f"{base}/servers")
        await page.wait_for_url("**/sign-in")
        assert seen.complaints == []


async def test_dead_letters_are_listed_with_reason_and_origin_and_none_is_said_to_be_none(
    fleet_settings: Settings,
) -> None:
    rewards, counters = FastAPI(), {"dead_letters": 0, "lag": 0}
    listed: list[dict[str, object]] = []

    @rewards.get("/v1/internal/counters")
    async def tell_books() -> dict[str, int]:
        return counters

    @rewards.get("/v1/internal/dead-letters")
    async def tell_letters() -> dict[str, list[dict[str, object]]]:
        return {"dead_letters": listed}

    async with serving(rewards) as url:
        settings = fleet_settings.model_copy(update={"rewards_url": url})
        async with running_fleet(settings) as fleet, browser() as seen:
            await sign_in(fleet, seen, identity.VIEWER)
            letters = seen.page.get_by_test_id("letters")
            await letters.get_by_text("No event was set aside.").wait_for()
            listed.append(
                {"at": 1.0, "origin": "launchday.kills/3/8", "reason": "<b>no</b> envelope", "bytes": 4}
            )
            counters["dead_letters"] = 1
            await letters.get_by_text("launchday.kills/3/8").wait_for()
            await letters.get_by_text("<b>no</b> envelope").wait_for()
            assert seen.complaints == []
