"""Kinds and sizes of datagrams, the numbers that both ends agree on, and the names of what is counted."""

from __future__ import annotations

from dedicated_server.protocol import connect_token

# Fits every path's MTU worth serving, IPv6's minimum of 1,280 included: nothing is ever fragmented.
MAX_DATAGRAM_BYTES = 1200
# Of a buffer row: room to notice a longer datagram. 19 cache lines: rows of a power of two would share few
# cache sets.
ROW_BYTES = 1216
PLAIN_WORDS = MAX_DATAGRAM_BYTES // 8 + 3  # of a datagram in the clear, as uint64, with slack
WORKSPACE_BYTES = 512  # scratch for one handshake and for nonces; its parts:
AT_HASHED = 128  # what is hashed, behind a token's private part
AT_MAC = 384  # a MAC to compare
AT_SEQUENCE_NONCE = 480  # the nonce of a sealed datagram
IP_UDP_BYTES = 28  # headers of IP and UDP around a datagram

# First byte of a datagram.
REQUEST, CHALLENGE, RESPONSE, FROM_CLIENT, FROM_SERVER = range(5)
REFUSAL = 6  # 5 and 8 are labels of what the same keys derive, see `handshake`
VERSION = 7  # the unsealed answer: what this server speaks, and why it says nothing else

# The header of a sealed datagram. Upwards the id of the connection stands behind the kind, since a client's
# address may change; a client has one server, and needs none.
CONNECTION_AT = 1
CONNECTION_ENTITY_BYTES = CONNECTION_TAG_BYTES = 2
CONNECTION_BYTES = CONNECTION_ENTITY_BYTES + CONNECTION_TAG_BYTES
SEQUENCE_BYTES = 4  # 60 Hz for two years
UP_SEQUENCE_AT = CONNECTION_AT + CONNECTION_BYTES
UP_HEADER_BYTES = UP_SEQUENCE_AT + SEQUENCE_BYTES
DOWN_SEQUENCE_AT = 1
DOWN_HEADER_BYTES = DOWN_SEQUENCE_AT + SEQUENCE_BYTES
SALT_BYTES = 24  # 16 bytes of the server's own, then a counter of challenges
MAC_BYTES = 16

# How long each end's tables are, as `layout` has it: room for tables to come, zero until then.
CLIENT_LENGTHS_BYTES = 8
SERVER_LENGTHS_BYTES = 16
ENTITY_LAYOUT_BYTES = 32
SERVER_LAYOUT_BYTES = SERVER_LENGTHS_BYTES + ENTITY_LAYOUT_BYTES
# request: kind, the token's request part, the client's lengths
REQUEST_BYTES = 1 + connect_token.REQUEST_PART_BYTES + CLIENT_LENGTHS_BYTES
# challenge: kind, salt, server time in ms, the server's own MAC (the cookie), the server's layout, MAC under
# the token's down key; smaller than a request, so that it amplifies nothing
COOKIE_BYTES = SALT_BYTES + 8 + MAC_BYTES
CHALLENGE_BYTES = 1 + COOKIE_BYTES + SERVER_LAYOUT_BYTES + MAC_BYTES
# response: what the request has behind its kind, salt, server time, cookie MAC, MAC under the token's up key
RESPONSE_BYTES = REQUEST_BYTES + COOKIE_BYTES + MAC_BYTES
# refusal: kind, reason, server time in ms, MAC under the token's down key
REFUSAL_TIME_AT = 2
REFUSAL_BYTES = REFUSAL_TIME_AT + 8 + MAC_BYTES
# version: kind, reason, the version that the server speaks, the ciphers that it knows (bit n: cipher n)
VERSION_REASON_AT, VERSION_VERSION_AT = 1, 2
VERSION_CIPHERS_AT = VERSION_VERSION_AT + len(connect_token.VERSION)
VERSION_BYTES = VERSION_CIPHERS_AT + 1  # and only what is longer is answered by it

REPLAY_WINDOW = 256
CHALLENGE_S = 5.0  # a challenge not answered by then is void
REPEAT_S = 0.1  # a client's request or response is repeated so often
ASK_AGAIN_S = 1.0  # a client whose response is not answered by then asks for another challenge
KEEP_ALIVE_S = 0.2
TIME_OUT_S = 5.0
ANSWER_S = 10.0  # a client gives up when a handshake took so long
# Opening a token costs 2 µs: a flood of requests costs half a millisecond a tick at most.
REQUESTS_PER_BATCH = 256
# Beginning a session costs 5 µs. Its response has a cookie of this server, so it is no flood but a match that
# fills: those of a batch are bounded by its size, and whoever is passed over repeats theirs.
LEAST_RESPONSES_PER_BATCH = 16
PLAYERS_PER_RESPONSE = 16
SESSION_S = 1.0  # a slot begins one session in so long: who asks more often costs nobody a tick
UNSEALED_PER_BATCH = 16  # answers to who proves nothing: a hint that a flood must not make the tick pay for
LAST_WORDS_PER_BATCH = 16  # farewells to sessions that another one has replaced
LEAVE_REPEATS = 3
FAREWELL_REPEAT_S = 0.1
FAREWELL_REPEATS = 10  # then the client is past hearing it, or answers when it sends again
REPLACED_REPEATS = 3  # nobody acknowledges those: the session's keys are gone
UNSEALED_PATIENCE_S = 1.0  # after an unsealed answer, so long without anything authentic, a client gives up

# Slots' states.
VACANT, CONNECTED, TIMED_OUT, LEFT = range(4)

# Why open_batch dropped a datagram, in the order in which it checks; PROTOCOL.md explains each.
DROP_REASONS = (
    "length",
    "kind",
    "version",
    "challenge_expired",
    "response_replayed",
    "session_rate",
    "cookie_forged",
    "handshake_rate",
    "expired",
    "token_forged",
    "other_match",
    "other_server",
    "other_player",
    "kicked",
    "closed",
    "token_used",
    "response_forged",
    "unknown_connection",
    "not_connected",
    "too_old",
    "replayed",
    "old_path",
    "forged",
    "malformed",
    "future_ack",
)
(
    DROP_LENGTH,
    DROP_KIND,
    DROP_VERSION,
    DROP_CHALLENGE_EXPIRED,
    DROP_RESPONSE_REPLAYED,
    DROP_SESSION_RATE,
    DROP_COOKIE_FORGED,
    DROP_HANDSHAKE_RATE,
    DROP_EXPIRED,
    DROP_TOKEN_FORGED,
    DROP_OTHER_MATCH,
    DROP_OTHER_SERVER,
    DROP_OTHER_PLAYER,
    DROP_KICKED,
    DROP_CLOSED,
    DROP_TOKEN_USED,
    DROP_RESPONSE_FORGED,
    DROP_UNKNOWN_CONNECTION,
    DROP_NOT_CONNECTED,
    DROP_TOO_OLD,
    DROP_REPLAYED,
    DROP_OLD_PATH,
    DROP_FORGED,
    DROP_MALFORMED,
    DROP_FUTURE_ACK,
) = range(len(DROP_REASONS))

COUNTERS = (
    "received",
    "received_bytes",
    "sent",
    "sent_bytes",
    "challenges",
    "connects",
    "reconnects",
    "time_outs",
    "leaves",
    "snapshots",
    "snapshot_bits",
    "records",
    "record_bits",
    "full_records",
    "changed_records",
    "changed_bits",
    "encodings",
    "over_budget",
    "keep_alives",
    "reliable_overflow",
    "expired_told",
    "kicks",
    "moves",
    "held_back",
    "pings",
    "pings_refused",
)
(
    RECEIVED,
    RECEIVED_BYTES,
    SENT,
    SENT_BYTES,
    CHALLENGES,
    CONNECTS,
    RECONNECTS,
    TIME_OUTS,
    LEAVES,
    SNAPSHOTS,
    SNAPSHOT_BITS,
    RECORDS,
    RECORD_BITS,
    FULL_RECORDS,
    CHANGED_RECORDS,
    CHANGED_BITS,
    ENCODINGS,
    OVER_BUDGET,
    KEEP_ALIVES,
    RELIABLE_OVERFLOW,
    EXPIRED_TOLD,
    KICKS,
    MOVES,
    HELD_BACK,
    PINGS,
    PINGS_REFUSED,
) = range(len(COUNTERS))

CLIENT_DROP_REASONS = (
    "length",
    "kind",
    "state",
    "challenge_forged",
    "too_old",
    "replayed",
    "forged",
    "malformed",
    "late_snapshot",
    "unknown_baseline",
    "refusal_forged",
)
(
    CLIENT_DROP_LENGTH,
    CLIENT_DROP_KIND,
    CLIENT_DROP_STATE,
    CLIENT_DROP_CHALLENGE_FORGED,
    CLIENT_DROP_TOO_OLD,
    CLIENT_DROP_REPLAYED,
    CLIENT_DROP_FORGED,
    CLIENT_DROP_MALFORMED,
    CLIENT_DROP_LATE,
    CLIENT_DROP_BASELINE,
    CLIENT_DROP_REFUSAL_FORGED,
) = range(len(CLIENT_DROP_REASONS))


def request_of(request_part: bytes, lengths: bytes = bytes(CLIENT_LENGTHS_BYTES)) -> bytes:
    """The request that a token's request part makes.

    ``lengths``: of the client's tables as `layout` has them, where a session is to follow.
    """
    return bytes([REQUEST]) + request_part + lengths
