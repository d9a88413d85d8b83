"""Text that is somebody's own, such as a name: how it is shown where it could do more than be read."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), directions of reading, other ends of lines, invisible and lone halves.
# Joiners stay: emoji and several scripts are written with them.
CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
CONTROLS_IN_LINES = re.compile(CONTROLS.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def escaped(text: str, *, lines: bool = False) -> str:
    """Return text in which control characters are shown as Python writes them, ``\\x1b`` or ``\\u202e``.

    Args:
        text: somebody's.
        lines: keep line breaks, of text that has several lines on purpose.
    """
    return (CONTROLS_IN_LINES if lines else CONTROLS).sub(lambda found: as_escape(found[0]), text)


def as_escape(text: str) -> str:
    """Return text in ASCII: every other character as an escape."""
    return text.encode("unicode_escape").decode("ascii")
