"""Everything that can go wrong in the load test, as one tree.

LoadTestError
├── ScenarioError                    the scenario file: correct the lines that it names
├── UnknownRegionError               no such region in region_rtt.csv: take one of the names that it suggests
├── LeftOutError                     a world leaves out what a scenario asks for: change it, or be less strict
├── BackendError                     the backend cannot be reached, or does not answer as agreed
│   ├── BackendUnavailableError      a service gave no usable answer: the player tries again
│   └── BackendRefusedError          a service refused the player: trying again does not help
│       └── PlayerInMatchError       the player is in a match already: come back into it, or wait for its end
├── NoMatchError                     a ticket has ended without a match: the run counts and reports the reason
├── TargetError                      a target cannot be used: correct what the text names
├── MetricsError                     an address of --metrics tells no metrics: correct it, or leave it out
├── ThresholdError                   a --fail-above of compare is wrong: the text says what is right
├── PartError                        a file of a part of a flood cannot be merged: the text names it and why
├── SwarmError                       the bots' UDP thread has stopped: the run cannot go on
├── PlayerLostError                  one player's journey cannot go on: the run counts and reports the reason
│   ├── SessionBrokenError           the game server is not heard any more: the player may queue again
│   │   └── TokenExpiredError        it takes the connect token for expired: the client asks for a newer one
│   └── ClientCrashedError           the player's client was killed in the match: they press Play again
├── BotWorkerEndedError              Locust's process of bots has ended: its own output says why
├── NetemUnavailableError            tc netem cannot run here: install what it names, or skip it
├── ChaosError                       a killed part did not come back in time: read the log that it names
├── VariationError                   a --vary, --given or override is wrong: the text says what is right
├── RuleSetError                     a mode's rule set cannot be simulated: correct what the text names
├── SweepError                       a simulating process was killed: use fewer --jobs
├── ProcessEndedError                a computing process was killed: use fewer
└── BenchError                       a benchmark cannot be run to its end: the text says which process failed
    ├── CaseUnavailableError         this machine cannot play a case: the text says what it lacks
    └── PlatformError                the floor cannot be measured: it needs recvmmsg of 64-bit Linux
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.target import Match


class LoadTestError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a scenario file.

    Attributes:
        line: 1-based line in the file.
        path: dotted keys from the top, such as ``players.locations.west-eurpe``; empty for the file as a
            whole.
        message: what is wrong and what would be right.
    """

    line: int
    path: str
    message: str


class ScenarioError(LoadTestError):
    """Raised when a scenario file cannot be used; carries every mistake found, not only the first.

    The text has one line a mistake, ``file:line: path: message``; so have ``lines``, each as it is.
    """

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        self.lines = tuple(
            f"{source}:{mistake.line}: {mistake.path + ': ' if mistake.path else ''}{mistake.message}"
            for mistake in self.mistakes
        )
        super().__init__("\n".join(self.lines))


class UnknownRegionError(LoadTestError, ValueError):
    """Raised for a region without a row or column in region_rtt.csv; the text lists names near to it.

    It is a ValueError too, so that pydantic reports it with its place in the file.
    """


class LeftOutError(LoadTestError):
    """Raised by ``--strict`` where a flood or a simulation leaves out something that the scenario asks for.

    Args:
        name: the scenario's.
        world: "a flood" or "a simulation".
        phrases: what is left out, and why.
    """

    def __init__(self, name: str, world: str, phrases: Sequence[str]) -> None:
        super().__init__(f"{name} asks for what {world} leaves out: {'; '.join(phrases)}")


class BackendError(LoadTestError):
    """Raised when a service of the backend cannot be reached or refuses the load test: start it, or check its
    address.
    """


class BackendUnavailableError(BackendError):
    """Raised when a service gave no usable answer to a player. The player tries again.

    Attributes:
        retry_after_s: seconds that the service asks them to wait first; None where it did not say.
    """

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class BackendRefusedError(BackendError):
    """Raised when a service refused a player. Trying again does not help."""


class PlayerInMatchError(BackendRefusedError):
    """Raised when a player asks for a match and is in one: come back into it, or wait for its end.

    Attributes:
        match: to come back into; None where the backend did not say.
    """

    def __init__(self, text: str, match: Match | None = None) -> None:
        super().__init__(text)
        self.match = match


class NoMatchError(LoadTestError):
    """Raised when a ticket has ended without a match, such as one that has expired.

    Args:
        state: how the ticket ended, such as "expired".
        reason: why, in the backend's words, or "".
    """

    def __init__(self, state: str = "ended", reason: str = "") -> None:
        super().__init__(f"ticket {state}: {reason or 'no reason given'}")


class TargetError(LoadTestError, ValueError):
    """Raised where the class that ``--target`` names is missing or is no target; the text says what it lacks.

    It is a ValueError too, as every wrong argument is.
    """


class MetricsError(LoadTestError):
    """Raised where an address does not tell metrics as Prometheus' text: correct it, or leave it out."""


class ThresholdError(LoadTestError):
    """Raised when a threshold of ``compare --fail-above`` cannot be read, or names what no run has; the text
    says what is right.
    """


class PartError(LoadTestError):
    """Raised where a part of a flood cannot be played or merged; the text names it, and what to do."""


class SwarmError(LoadTestError):
    """Raised when the bots' UDP thread has ended; its cause is the reason. The run cannot go on."""


class PlayerLostError(LoadTestError):
    """Raised inside a journey when it cannot go on; the text is the reason that the report counts."""


class SessionBrokenError(PlayerLostError):
    """Raised when the game server is not heard any more, or never was. The player may queue again."""


class TokenExpiredError(SessionBrokenError):
    """Raised when the game server tells the client that its connect token has expired."""


class ClientCrashedError(PlayerLostError):
    """Raised when a player's client is killed in a match, as their kind of player has it: they press Play
    again.
    """


class BotWorkerEndedError(LoadTestError):
    """Raised when players are to play and Locust's process of bots has ended. Its own output says why."""


class NetemUnavailableError(LoadTestError):
    """Raised where the cross-check by ``tc netem`` cannot run; the text names what is missing."""


class ChaosError(LoadTestError):
    """Raised when a part that was killed did not come back in time; the text names its log."""


class BenchError(LoadTestError):
    """Raised when a benchmark cannot be run to its end; the text says which process failed. Run it again."""


class CaseUnavailableError(BenchError):
    """Raised where this machine cannot play a case of a benchmark. The text says what it lacks."""


class PlatformError(BenchError):
    """Raised where the floor cannot be measured: it needs ``recvmmsg`` and ``sendmmsg`` of 64-bit Linux."""
