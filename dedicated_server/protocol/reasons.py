"""Why a server does not let a client in, or lets it go: one list of numbers, in whatever way it is said.

A *refusal* answers a request or a response, under the token's key. A *farewell* ends a running session,
sealed in it. An *unsealed* answer goes to who cannot be answered under any key: it is a hint that anybody
could have sent, so a client that hears something authentic passes over it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

(
    EXPIRED,
    KICKED,
    BANNED,
    OTHER_MATCH,
    OTHER_SERVER,
    OTHER_PLAYER,
    SUPERSEDED,
    MATCH_OVER,
    GOING_AWAY,
    REPLACED,
    TOO_SLOW,
    TIMED_OUT,
    OTHER_VERSION,
    UNKNOWN_TOKEN,
    UNKNOWN_SESSION,
) = range(1, 16)

REFUSAL, FAREWELL, UNSEALED = "refusal", "farewell", "unsealed"


class Reason(NamedTuple):
    """One reason.

    Attributes:
        number: on the wire; 0 is none.
        name: in reports, ledgers and metrics.
        said: in which words a server says it: REFUSAL, FAREWELL, UNSEALED.
        meaning: for the player, and what the client may do.
    """

    number: int
    name: str
    said: tuple[str, ...]
    meaning: str


REASONS: Final = (
    Reason(EXPIRED, "expired", (REFUSAL,), "the token has expired by the server's clock: get a newer one"),
    Reason(
        KICKED, "kicked", (REFUSAL, FAREWELL), "an operator has put the player out of this match for good"
    ),
    Reason(BANNED, "banned", (REFUSAL, FAREWELL), "the player is banned"),
    Reason(OTHER_MATCH, "other_match", (REFUSAL,), "the server plays another match: the token's is over"),
    Reason(OTHER_SERVER, "other_server", (REFUSAL,), "the token is for another address: ask that one"),
    Reason(OTHER_PLAYER, "other_player", (REFUSAL,), "the slot is not the player's, or no more: queue again"),
    Reason(SUPERSEDED, "superseded", (REFUSAL,), "a newer token of the player is in use: get a newer one"),
    Reason(MATCH_OVER, "match_over", (REFUSAL, FAREWELL), "the match is over, and its result has been told"),
    Reason(GOING_AWAY, "going_away", (REFUSAL, FAREWELL), "the server ends before its match: queue again"),
    Reason(REPLACED, "replaced", (FAREWELL,), "a newer session of the player has the slot"),
    Reason(TOO_SLOW, "too_slow", (FAREWELL,), "too many reliable messages wait: connect again"),
    Reason(TIMED_OUT, "timed_out", (FAREWELL,), "the server heard nothing for too long: connect again"),
    Reason(OTHER_VERSION, "other_version", (UNSEALED,), "the server speaks another version: update the game"),
    Reason(UNKNOWN_TOKEN, "unknown_token", (UNSEALED,), "the server cannot open the token: get a newer one"),
    Reason(
        UNKNOWN_SESSION, "unknown_session", (UNSEALED,), "the server knows no such session: connect again"
    ),
)
NAMES: Final = ("", *(reason.name for reason in REASONS))  # by number


def name_of(number: int) -> str:
    """A reason in a word, also one that a newer server has; empty for 0."""
    return NAMES[number] if 0 <= number < len(NAMES) else f"reason {number}"
