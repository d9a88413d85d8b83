"""What we need of an engine that a studio brings, and what is said where one does not have it.

Each kind of engine has a list of `Requirement`: ``launchday doctor`` and the services' starts check it, and
docs/operating.md shows it. So what is checked, what is documented and what is needed are one list.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an engine.

    Attributes:
        refuse: whether a service must not start with it.
        text: what is wrong, in one line.
        remedy: the line to type, or to put into the engine's configuration.
    """

    refuse: bool
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that we need of an engine.

    Attributes:
        setting: as the engine, or ``LAUNCHDAY_…``, calls it.
        wanted: what it has to be, as it is written there.
        why: what goes wrong otherwise, in one sentence.
        remedy: the line to type where it is something else; ``{…}`` stand for what is known only then.
        refuse: whether a service does not start without it.
    """

    setting: str
    wanted: str
    why: str
    remedy: str
    refuse: bool

    def fault(self, text: str, **known: object) -> Fault:
        """What is said where it is not met: ``text`` says how it is, ``known`` fills the remedy."""
        return Fault(self.refuse, text, self.remedy.format(**known))


def enforce(faults: Iterable[Fault]) -> None:
    """Warn of what is wrong with an engine, or end this process with a line for each thing with which it must
    not start. Raises SystemExit.
    """
    refused = []
    for fault in faults:
        if fault.refuse:
            refused.append(f"error: {fault}")
        else:
            log.warning(fault.text, remedy=fault.remedy)
    if refused:
        sys.exit("\n".join(refused))
