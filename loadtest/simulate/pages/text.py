"""Numbers, durations and scenarios as text on a page."""

from __future__ import annotations

from loadtest.report.html import scenario_yaml

LEFT_OUT = "virtual time does not do: a flood plays it"


def format_number(value: float | None) -> str:
    """Return three significant digits, whole numbers from 1,000 on, and a dash for None."""
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes from two minutes on, or hours from two hours on."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7_200 else f"{seconds / 3_600:.1f} hours"


__all__ = ["LEFT_OUT", "format_duration", "format_number", "scenario_yaml"]
