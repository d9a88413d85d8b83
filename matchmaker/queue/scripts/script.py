"""One script, and how it is called: with every key named that it touches, all of it packed by us.

A caller names what it knows, some hundred tickets where a director finds a match. Which others there are,
such as those of the other tickets of a party, only the script finds, by reading. It looks before it changes
anything, and where it may not go on it answers which keys it lacks; then it is called again with these as
well. So a change still happens whole or not at all, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.cache_client import run_script
from launchday.resilience.packed import Argument, begin, pack, pack_names
from matchmaker.errors import LeaseLostError, MatchmakerError

TAG = "{mm}"
TICKET = f"{TAG}:ticket:"
PLAYER = f"{TAG}:player:"

NEEDS = b"NEEDS"  # with it an answer begins that names keys; see is_named() in shared.lua
MAX_TRIES = (
    10  # ticket, party, its tickets, their match, its tickets, their parties, their tickets; and changes
)
MAX_REMEMBERED = 256  # keys of modes


class KeysUnsettledError(MatchmakerError, RedisError):
    """Raised when what a script touches was another at each of its tries. Nothing was changed; whoever takes
    the cache for away repeats it.
    """


@dataclass(frozen=True, slots=True)
class Call:
    """What one call is given.

    Attributes:
        args: what follows NOW and TICKETS in ``ARGV``.
        mode: whose keys are named; empty: none's.
        tickets: ids; their keys come first in ``KEYS``.
        players: ids; their keys come next.
        keys: further ones.
    """

    args: Sequence[Argument]
    mode: str = ""
    tickets: Sequence[str] = ()
    players: Sequence[int | str] = ()
    keys: Sequence[str] = ()


class Script:
    """One Lua script.

    Args:
        cache: where it runs.
        clock: what ``NOW`` is where a caller does not say it.
        text: the script.
        fixed: keys that every call may touch.
        of_mode: beginnings of keys that a call may touch, each followed by the mode's name.
    """

    def __init__(
        self, cache: Redis, clock: Clock, text: str, fixed: Collection[str], of_mode: Collection[str]
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._text = text
        self._of_mode = tuple(of_mode)
        # Those that a call once lacked are named ever after: a ticket is asked about without its mode.
        self._always = dict.fromkeys(fixed)
        self._known: dict[str, tuple[int, bytes]] = {}  # mode → its keys and the fixed ones, packed
        self._begin = pack(("EVALSHA", cache.register_script(text).sha))

    async def __call__(
        self,
        args: Sequence[Argument],
        now: float | None = None,
        *,
        mode: str = "",
        tickets: Sequence[str] = (),
        players: Sequence[int | str] = (),
        keys: Sequence[str] = (),
    ) -> Any:
        """Run it at ``now`` (Unix seconds); see `Call` for the rest.

        Raises:
            LeaseLostError: the script found that its caller's fencing token is stale.
            KeysUnsettledError: what it touches changed at each try.
            RedisError: as redis-py's.
        """
        [answer] = await self.each([Call(args, mode, tickets, players, keys)], now)
        return answer

    async def each(self, calls: Sequence[Call], now: float | None = None) -> list[Any]:
        """Run it for each call, in one round trip, and return the answers; raises the first of the errors."""
        at = repr(self._clock.now() if now is None else now)
        found: list[Sequence[str]] = [()] * len(calls)
        answers: list[Any] = [None] * len(calls)
        waiting = list(range(len(calls)))
        for _ in range(MAX_TRIES):
            commands = [self._packed(calls[place], at, found[place]) for place in waiting]
            for place, answer in zip(waiting, await self._send(commands), strict=True):
                if isinstance(answer, Exception):
                    raise lease_error(answer) from answer
                answers[place] = answer
            waiting = [place for place in waiting if _lacks_keys(answers[place])]
            if not waiting:
                return answers
            for place in waiting:
                found[place] = (*found[place], *self._remember(answers[place][1:]))
        raise KeysUnsettledError(
            f"what a call touches changed {MAX_TRIES} times while it was made: try again"
        )

    def _packed(self, call: Call, at: str, found: Sequence[str]) -> bytes:
        if call.mode not in self._known:
            own = (f"{key}{call.mode}" for key in self._of_mode) if call.mode else ()
            names = dict.fromkeys((*self._always, *own))
            self._known[call.mode] = len(names), pack(names)
        count, known = self._known[call.mode]
        count += len(call.tickets) + len(call.players) + len(call.keys) + len(found)
        return b"".join(
            (
                begin(5 + count + len(call.args)),
                self._begin,
                pack((count,)),
                pack_names(TICKET, call.tickets),
                pack_names(PLAYER, [str(player) for player in call.players]),
                pack(call.keys),
                pack(found),
                known,
                pack((at, len(call.tickets))),
                pack(call.args),
            )
        )

    async def _send(self, commands: Sequence[bytes]) -> list[Any]:
        return await run_script(self._cache, self._text, [(TAG, command) for command in commands])

    def _remember(self, lacking: Iterable[bytes]) -> list[str]:
        """The keys that a call lacks; those of modes are named always from now on."""
        names = [key.decode() for key in lacking]
        for name in names:
            if name.startswith(self._of_mode) and len(self._always) < MAX_REMEMBERED:
                self._always[name] = None
                self._known.clear()
        return [name for name in names if name not in self._always]


def lease_error(error: Exception) -> Exception:
    """Return LeaseLostError where a script refused a stale fencing token, else the error itself."""
    return LeaseLostError(str(error)) if "STALE" in str(error) else error


def _lacks_keys(answer: Any) -> bool:
    return isinstance(answer, list) and bool(answer) and answer[0] == NEEDS
