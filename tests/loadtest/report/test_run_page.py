from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from launchday.escapes import escaped
from loadtest.flood.conditions import MachineUse
from loadtest.flood.ledger import Ledger
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerState
from loadtest.players.requests import RequestStatistics
from loadtest.report import run_page
from loadtest.report.cards.requests import request_cards
from loadtest.scenario.reader import parse_scenario
from tests.loadtest.sample_run import sample_outcome

LOADS = {"src", "href", "srcset", "poster", "data", "action", "xlink:href", "background"}


class Elements(HTMLParser):
    """Collects what a browser would fetch, and the text outside of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.styles = ""
        self.text = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in {"script", "style"} else ""
        for name, value in attributes:
            if name in LOADS:
                self.fetched.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "style":
                self.styles += value or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.styles += data
        elif not self._inside:
            self.text += data


def elements_of(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    parser.close()
    return parser


def plots_of(page: str) -> dict[str, dict[str, Any]]:
    start = page.index("const plots = ") + len("const plots = ")
    plots, _ = json.JSONDecoder().raw_decode(page[start:])
    return dict(plots)


@pytest.fixture(scope="module")
def page() -> str:
    return run_page.render_report(sample_outcome())


def test_the_report_fetches_nothing(page: str) -> None:
    elements = elements_of(page)
    assert [url for url in elements.fetched if not url.startswith("data:")] == []
    assert "url(" not in elements.styles
    assert "@import" not in elements.styles
    our_script = page[page.rindex("<script>") :]
    assert "http" not in our_script
    assert "plotly.js v" in page  # the library itself is inside


def test_the_verdict_stands_above_everything_else(page: str) -> None:
    text = elements_of(page).text
    assert text.index("Passed") < text.index("Objectives") < text.index("Ledger")


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (sample_outcome(), "Passed"),
        (sample_outcome(kill_events=1), "Failed"),
        (sample_outcome(interrupted="Ctrl-C"), "Interrupted"),
    ],
)
def test_the_verdict_is_that_of_the_run(run: RunOutcome, word: str) -> None:
    page = run_page.render_report(run)
    assert f'<section class="verdict {word.lower()}"><strong>{word}</strong>' in page
    assert ("off by 179" in page) == (word == "Failed")


def test_every_plot_has_its_place_and_its_data(page: str) -> None:
    plots = plots_of(page)
    wanted = {"players", "waits", "waits_by_region", "rtt", "ticks", "bandwidth", "stages", "queues", "fleet"}
    assert set(plots) == wanted
    assert set(elements_of(page).ids) >= set(plots)
    assert all(plot["data"] for plot in plots.values())


def test_the_scenario_in_the_report_repeats_the_run(page: str) -> None:
    [text] = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert parse_scenario(html.unescape(text), "report") == sample_outcome().scenario


def test_what_others_wrote_cannot_become_markup() -> None:
    run = sample_outcome()
    evil = "</script><script>alert(1)</script><b>"
    run.records.reason[0], run.records.state[0] = evil, PlayerState.LOST
    run.reports[0]["region"] = evil
    run.records.region = [evil] * 200
    run.records.waits[:] = [wait._replace(region=evil) for wait in run.records.waits]
    run.timeline.marks.append((5.0, evil))
    described = run.scenario.model_copy(update={"description": evil})
    page = run_page.render_report(replace(run, scenario=described))
    assert page.count("<script>") == 3  # plotly, and ours for tables and plots
    assert "<script>alert" not in page


@pytest.mark.parametrize("name", ["<b>[eu]</b>", "%{y} &amp;", "\u202egpj\x1b[2J", "[/b]", 'it\'s "x"'])
def test_a_name_is_text_in_a_page_and_in_its_plots(name: str) -> None:
    run = sample_outcome()
    run.reports[0]["region"] = name
    run.records.region = [name] * 200
    run.records.waits[:] = [wait._replace(region=name) for wait in run.records.waits]
    described = run.scenario.model_copy(update={"description": name})
    page = run_page.render_report(replace(run, scenario=described))
    plots = plots_of(page)
    shown = escaped(name)
    assert shown in elements_of(page).text
    [trace] = plots["waits_by_region"]["data"]
    assert html.unescape(trace["name"]) == shown
    assert not set("<>") & set(trace["name"])
    assert "%{y} &" not in trace["hovertemplate"].partition("<extra>")[2]
    [text] = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert parse_scenario(html.unescape(text), "report") == described


def test_a_run_that_measured_nothing_still_has_a_report() -> None:
    run = sample_outcome(interrupted="stopped at once")
    for name in ("assigned_s", "rtt_ms", "received_kbit_s", "sent_kbit_s"):
        getattr(run.records, name)[:] = np.nan
    run.records.region = [""] * 200
    run.records.waits.clear()
    page = run_page.render_report(replace(run, reports=[], timeline=Timeline(), settled_s=None))
    assert "nobody queued" in page
    assert {*plots_of(page)} == {"players", "waits"}


def test_the_page_says_whose_the_figures_are_and_what_was_not_done() -> None:
    quiet = replace(sample_outcome(), machine=MachineUse(0.1, 2))
    page = run_page.render_report(quiet)
    assert "so the figures are the backend&#39;s." in page
    assert "Left out" not in page
    busy = replace(quiet, machine=MachineUse(1.0, 2), left_out=["fleet.startup_s: <b>not</b> here"])
    page = run_page.render_report(busy)
    assert "so the figures are the backend&#39;s." not in page
    assert '<section class="verdict interrupted"><strong>Passed</strong>' in page
    assert "others used 50% of the machine" in page
    assert "<li>fleet.startup_s: &lt;b&gt;not&lt;/b&gt; here</li>" in page


def test_a_target_without_servers_has_a_page_without_them() -> None:
    run = sample_outcome()
    for name in ("rtt_ms", "received_kbit_s", "sent_kbit_s"):
        getattr(run.records, name)[:] = np.nan
    run.records.waits[:] = [wait._replace(region="") for wait in run.records.waits]
    bare = Timeline(at_s=run.timeline.at_s, players=run.timeline.players)
    foreign = replace(run, reports=[], timeline=bare, ledger=Ledger(()), target="mine:Target")
    page = run_page.render_report(foreign)
    assert {*plots_of(page)} == {"players", "waits"}
    text = elements_of(page).text
    assert "Nobody counted but the load test itself" in text
    assert "tour · 200 players on mine:Target" in text
    assert "launchday flood FILE --target mine:Target" in text
    for word in ("kills", "tick, p50", "round trip, p50", "No game server", "faults that the scenario"):
        assert word not in text


def test_a_kind_of_request_that_was_never_timed_is_no_row_of_dashes() -> None:
    run = sample_outcome()
    run.requests.by_kind["log in"] = RequestStatistics(latency_ms=[4.0, 6.0])
    run.requests.by_kind["wait for a match"] = RequestStatistics(untimed=200)
    times, counts = (card.body for card in request_cards(run))
    assert "log in" in times
    assert "wait for a match" not in times
    assert "wait for a match" in counts  # asked all the same, once a player
