"""The pages of the load test in a real browser: nothing is cut without a sign, and an outcome stays in sight.

LAUNCHDAY_SCREENSHOTS names a folder to leave pictures of the pages in.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtest.report.comparison.compare import compare_runs, render_comparison
from loadtest.report.html import FOLDED_ROWS, Verdict, render_page, table, text_card
from loadtest.report.run_json import run_as_json
from loadtest.report.run_page import render_report
from tests.browser import NARROW, WIDE, Browser, browser
from tests.loadtest.sample_run import sample_outcome
from tests.optional import needs

pytestmark = [needs("chromium"), pytest.mark.timeout(240)]

FAULTS = """() => {
  const found = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push("the page scrolls sideways");
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth <= box.clientWidth + 1) continue;
    const title = box.closest(".card").querySelector("h2")?.innerText ?? "";
    const sign = box.parentElement.querySelector(".hint").offsetHeight;
    if (!sign) found.push(title + ": scrolls without a sign");
    for (const cell of box.querySelectorAll("td.outcome")) {
      const place = cell.getBoundingClientRect();
      if (place.left >= 0 && place.right <= root.clientWidth) continue;
      found.push(title + ": outcome out of sight");
      break;
    }
  }
  return found;
}"""
HEADINGS = (
    "fleet.buffer",
    "wait p50, s",
    "wait p95, s",
    "wait p99, s",
    "gave up",
    "servers",
    "cost",
    "objectives",
)


def page_of_settings() -> str:
    """A page with a table that folds on a narrow screen and one, of more rows, that scrolls there."""

    def settings(count: int) -> list[tuple[str, ...]]:
        return [(f"{row}", *["123.4 ± 5.6"] * 6, "met under 2 of 3") for row in range(count)]

    cards = [
        text_card(title, table(HEADINGS, settings(count), numbers=range(7), outcome=True), wide=True)
        for title, count in (("Few", 3), ("Many", FOLDED_ROWS + 1))
    ]
    return render_page(
        title="settings",
        heading="settings of " + "a" * 300,
        subheading="",
        verdict=Verdict("failed", "Failed", "because of " + "b" * 300),
        figures=[("1,000,000 of 1,000,000", "players finished")] * 4,
        cards=cards,
        repeat_note="",
        repeat="key: " + "c" * 300,
    )


async def faults(seen: Browser, size: dict[str, int]) -> list[str]:
    await seen.page.set_viewport_size(size)  # type: ignore[arg-type]
    # The sign of a table is set once the browser has told its new size: two frames later.
    await seen.page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return list(await seen.page.evaluate(FAULTS))


async def test_no_page_hides_anything_on_a_narrow_screen_or_a_wide_one(tmp_path: Path) -> None:
    one, other = sample_outcome(), sample_outcome(kill_events=1)
    pages = {
        "report": render_report(one),
        "comparison": render_comparison(
            tmp_path / "one.json", tmp_path / "other.json", compare_runs(run_as_json(one), run_as_json(other))
        ),
        "settings": page_of_settings(),
    }
    async with browser() as seen:
        fetched: list[str] = []
        seen.page.on("request", lambda request: fetched.append(request.url))
        for name, page in pages.items():
            (path := tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
            await seen.page.goto(path.as_uri())
            for size in (WIDE, NARROW):
                assert await faults(seen, size) == [], name
                await take_picture(seen, f"loadtest-{name}-{size['width']}")
        assert seen.complaints == []
        assert [url for url in fetched if not url.startswith(("file:", "data:", "blob:"))] == []

        # A row of the few is a card of labelled figures; the many scroll, and say so.
        shown = await seen.page.locator(".folds td.outcome").first.evaluate(
            "c => [getComputedStyle(c.parentElement).display, getComputedStyle(c, '::before').content]"
        )
        assert shown == ["grid", '"objectives"']
        assert await seen.page.locator(".keeps .hint").inner_text() == "scroll →"
        await seen.page.locator(".keeps .scroll").evaluate("box => box.scrollLeft = box.scrollWidth")
        await seen.until("document.querySelector('.keeps .hint').innerText == '← scroll'")

        # The look itself finds what it is there for.
        await seen.page.add_style_tag(
            content=".hint { display: none !important } td.outcome { position: static !important }"
        )
        await seen.page.locator(".keeps .scroll").evaluate("box => box.scrollLeft = 0")
        assert await faults(seen, NARROW) == ["Many: scrolls without a sign", "Many: outcome out of sight"]


async def take_picture(seen: Browser, name: str) -> None:
    """Leave a picture of the page where a folder for them is named."""
    if folder := os.environ.get("LAUNCHDAY_SCREENSHOTS"):
        await seen.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
