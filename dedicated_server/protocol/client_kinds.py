"""The kinds of reliable messages that a client sends, a table each.

A client says one thing at a time: the same message follows the inputs of every datagram until the server's
`heard` names its number; the next one has the next number. So a player who presses the key of a ping needs no
ring and no window, and a message that arrives twice is known by its number.
"""

from __future__ import annotations

from typing import Final

from dedicated_server.protocol.fields import POSITION_BITS
from dedicated_server.protocol.tables import Field, columns, leasts, length_of, widths

CLIENT_SAYS_FIELDS: Final = (
    Field("number", 8, "of the message: one more than that before, its low 8 bits; a session's first is 1"),
    Field("kind", 4, "1 ping"),
    Field("length", 9, "bits of the kind's table that follow"),
)
SAYS_NUMBER, SAYS_KIND, SAYS_LENGTH = columns(CLIENT_SAYS_FIELDS, "number kind length")
SAYS_WIDTHS, SAYS_LEASTS = widths(CLIENT_SAYS_FIELDS), leasts(CLIENT_SAYS_FIELDS)
SAYS_BITS = length_of(CLIENT_SAYS_FIELDS)
CLIENT_NUMBER_BITS = SAYS_WIDTHS[SAYS_NUMBER]
CLIENT_NUMBER_MASK = (1 << CLIENT_NUMBER_BITS) - 1

CLIENT_PING: Final = 1
CLIENT_PING_FIELDS: Final = (
    Field("x", POSITION_BITS, "metres east × 64, from −1,024 m"),
    Field("y", POSITION_BITS, "metres north × 64, from −1,024 m"),
    Field("what", 4, "what it shows, by the game's own list; 0: the place"),
)
CLIENT_PING_X, CLIENT_PING_Y, CLIENT_PING_WHAT = columns(CLIENT_PING_FIELDS, "x y what")
CLIENT_PING_WIDTHS, CLIENT_PING_LEASTS = widths(CLIENT_PING_FIELDS), leasts(CLIENT_PING_FIELDS)
CLIENT_PING_BITS = length_of(CLIENT_PING_FIELDS)

PING_BURST: Final = 3  # pings of a player at once
PING_EVERY_S: Final = 1.0  # and one in so many seconds after them: enough to show, too few to drown a team
