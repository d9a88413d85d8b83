"""Text of others in markup: names of players and servers are shown, and never obeyed."""

from __future__ import annotations

import html

from launchday.escapes import escaped


def shown(value: object) -> str:
    """Return something that is not ours as HTML: without markup, and control characters as escapes."""
    return html.escape(escaped(str(value)))


def clock(seconds: float) -> str:
    """Return a length of time as 1:05."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
