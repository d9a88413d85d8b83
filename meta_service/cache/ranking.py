"""How a board orders players: by their sum, and of one sum by who reached it first.

A sorted set of Valkey orders by one number, a double, and then by the member's text. So the number holds
both: the sum in front, behind it how much of the season was left when it was reached. It is negative, so that
reading from the least on reads from the best down, and members are ids of one width: who reached a sum in the
same moment, such as players of one match, stand in the order of their ids.

Of two numbers for one player the lesser is always the newer: sums grow, and a sum was reached once. So they
may be published in any order and as often as one likes. A double holds 53 bits: of the time there are 33,
which is a millisecond for a season of 99 days and more for a longer one, and 20 of the sum, up to 1,048,575.
Greater sums stay exact and lose of the time, a bit each time they double.
"""

from __future__ import annotations

from dataclasses import dataclass

TIME_BITS = 33
EXACT_BITS = 53  # of a double
MEMBER_DIGITS = 19  # of the greatest player id

_TIMES = 1 << TIME_BITS


@dataclass(frozen=True, slots=True)
class RankScale:
    """The season by which times are measured.

    Attributes:
        starts_s, ends_s: Unix seconds.
    """

    starts_s: float
    ends_s: float

    @property
    def unit_ms(self) -> int:
        """Milliseconds that count as one moment."""
        return max(1, -(-_ms(self.ends_s - self.starts_s) // _TIMES))

    def value(self, score: int, reached_s: float) -> int:
        """The number by which a player stands on a board.

        Args:
            score: the sum, at least 0; nobody has reached 0 before another.
            reached_s: Unix seconds at which it was reached; what lies outside counts as the edge.
        """
        moment = 0 if score == 0 else (_ms(reached_s) - _ms(self.starts_s)) // self.unit_ms
        whole = score << TIME_BITS | _TIMES - 1 - min(max(moment, 0), _TIMES - 1)
        lost = max(whole.bit_length() - EXACT_BITS, 0)
        return -(whole >> lost << lost)


UNKNOWN_SEASON = RankScale(0.0, 4e9)
"""For a season of which nobody knows any more when it was."""


def score_of(value: float) -> int:
    """The sum that a number of a board holds."""
    return -int(value) >> TIME_BITS


def member(player_id: int) -> str:
    """A player as a member of a board."""
    return f"{player_id:0{MEMBER_DIGITS}d}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
