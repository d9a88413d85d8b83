"""The cards of requests: how long each kind took, and how many a player and a match cost."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.flood.outcome import RunOutcome
from loadtest.report import request_counts
from loadtest.report.html import Card, paragraph, table, text_card


def request_cards(outcome: RunOutcome) -> Iterator[Card]:
    """The times of the players' requests, and the counts of all; what nobody sent or counted is left out."""
    yield _times(outcome)
    if (rows := request_counts.request_rows(outcome)) or outcome.request_counts.missing:
        yield _counts(rows, request_counts.missing_sentence(outcome))


def _times(outcome: RunOutcome) -> Card:
    rows = [
        (
            kind,
            f"{found['answered']:,}",
            *(_ms(found["ms"][point]) for point in ("p50", "p95", "p99", "max")),
            f"{found['retries']:,}",
            f"{found['refusals']:,}",
            f"{found['given_up']:,}",
        )
        for kind, found in outcome.requests.as_json().items()
    ]
    if not rows:
        return text_card("Requests", paragraph("No player sent a request that is timed.", "quiet"), wide=True)
    times = ("p50, ms", "p95, ms", "p99, ms", "max, ms")
    headings = ("request", "answered", *times, "retries", "refused", "given up")
    note = "From the first try to the answer; one that was given up counts with the time that it took."
    return text_card("Requests", table(headings, rows, numbers=range(1, 9)), note, wide=True)


def _counts(rows: list[request_counts.RequestRow], missing: str) -> Card:
    shown = [
        (each.kind, each.asked_by, f"{each.count:,}", _share(each.per_player), _share(each.per_match))
        for each in rows
    ]
    headings = ("request", "asked by", "count", "a player", "a match")
    note = "Every try, of the players and, as services count them, of services among each other. "
    return text_card(
        "Requests a player and a match",
        table(headings, shown, numbers=range(2, 5)),
        (note + missing).strip(),
        wide=True,
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
