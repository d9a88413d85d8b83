"""How a service shares out its descriptors: how many are for clients, and what is kept back.

The operating system gives a new descriptor the lowest number that is free (POSIX, open), so a connection's
number says how many descriptors are in use, whoever uses them: clients, pools of cache and store, logs,
processes that hash. To count them would take a millisecond; the number is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

RESERVE_SHARE = 8  # of all descriptors is kept back one in so many, within these bounds:
LEAST_RESERVE = 320  # the pools of a matchmaker grow by 164
MOST_RESERVE = 1024
AT_ONCE = 64  # connections taken in one turn: 60 µs each, so that a storm of them leaves room for requests


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """Numbers of descriptors, and what happens to a connection that gets one of them.

    Attributes:
        refuse_from: from this number on it is told 503, but for whoever asks for health.
        cut_from: from this number on it is closed unheard, so that the process itself never runs out.
        crowd: connections that may wait to be told 503; the oldest of them makes room for the next.
        at_once: connections taken in one turn of the event loop while they are told so.
    """

    refuse_from: int = 1 << 30
    cut_from: int = 1 << 30
    crowd: int = AT_ONCE
    at_once: int = AT_ONCE

    @classmethod
    def of(cls, descriptors: int) -> Self:
        """Return the budget of a process that may have so many descriptors.

        Half of what is kept back is for the process's own connections, a quarter for those who are told 503,
        an eighth for those who come meanwhile.
        """
        reserve = min(max(descriptors // RESERVE_SHARE, LEAST_RESERVE), MOST_RESERVE, descriptors // 2)
        crowd = reserve // 4
        # What was taken in one turn is read two turns later: three turns' connections wait at the same time.
        at_once = min(max(crowd // 3, 1), AT_ONCE)
        return cls(descriptors - reserve, descriptors - reserve // 8, max(crowd, 1), at_once)
