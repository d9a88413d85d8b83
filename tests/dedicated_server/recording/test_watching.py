"""``launchday replay FILE --watch`` in a real browser."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.browser import NARROW, browser
from tests.optional import needs

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def watching(recording: Path) -> AsyncIterator[str]:
    """Run the command; gives the address that it prints. Ctrl-C ends it, and it was no error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "launchday.cli.main", "replay", str(recording), "--watch",
        stdout=asyncio.subprocess.PIPE,
        cwd=recording.parent,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found is not None, said
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@needs("chromium")
async def test_a_recording_is_watched_sought_in_and_followed(watched: Path) -> None:
    before = set(watched.parent.iterdir())
    async with watching(watched) as url, browser() as seen:
        page = seen.page
        await page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        await page.goto(url)
        await page.get_by_test_id("time").get_by_text(re.compile(r"/ 0:(09|1\d)$")).wait_for()
        await page.keyboard.press(" ")  # it stands: a slow machine may look at it for as long as it needs
        await page.get_by_test_id("players").get_by_text("<script>alert(1)</script>").wait_for()
        await page.get_by_test_id("players").get_by_role("button", name="Ada").click()
        await page.get_by_test_id("following").get_by_text(re.compile(r"\d+ hp")).wait_for()
        assert await page.locator(".ld-map-chosen").count() == 1
        await page.keyboard.press("Escape")
        await page.get_by_test_id("speed").get_by_text("8×").click()
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await page.get_by_test_id("following").get_by_text("has won").wait_for()
        await page.get_by_test_id("players").get_by_text("Linus").wait_for()
        await page.get_by_test_id("news").get_by_role("button").first.click()
        await page.get_by_test_id("under-map").get_by_text("playing").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert seen.complaints == []
        assert await asyncio.to_thread(status_of, url, "evil.example") == 400
    assert set(watched.parent.iterdir()) == before


def status_of(url: str, host: str) -> int:
    """What a request is answered that came by another name."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10)
    except HTTPError as error:
        return error.code
    return 200


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"LDREC002", "is a recording of version 2"), (b"else", "is not a recording"), (None, "No such")],
)
async def test_what_is_no_recording_is_said_in_one_line(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "match.ldr"
    if content is not None:
        path.write_bytes(content)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "launchday.cli.main", "replay", str(path), "--watch",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert said in errors.decode()
    assert len(errors.decode().strip().splitlines()) == 1
