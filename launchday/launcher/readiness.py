"""Waits for the processes of a start, each wait bounded, and says what is waited for and for how long.

A backend is up once each of its processes is ready: a director once its queues are served, see
`matchmaker.director.offices`. For the first warm game servers it is waited too, but not for ever: where they
cannot start, the backend goes on, for that is when one wants to look into it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from launchday import kernel_cache, machine
from launchday.errors import LaunchdayError
from launchday.launcher.children import Child, ServiceChild, ask_ready

# for a machine that is busy; an idle one takes 2 s. Time in which kernels are compiled does not count.
READY_TIMEOUT_S = 120.0
SERVERS_TIMEOUT_S = 60.0  # likewise; a warm server takes 0.1 s once its parent has loaded the kernels
COMPILING_TIMEOUT_S = 1800.0  # in all, compiling counted: ten times what a slow machine takes
READY_POLL_S = 0.05
SAY_AFTER_S = 5.0  # and then whenever it waits for something else
WARM_SERVERS = "warm servers"  # the fleet's part, see `dedicated_server.fleet.steps`

Say = Callable[[str], None]


class NotReadyError(LaunchdayError):
    """Raised when a process is not ready in time. The message says what it waits for, and what to do."""


class Patience:
    """How long is still waited for one thing, while it is compiled and once it is.

    Args:
        say: is given a line when kernels are waited for, and when something else is.
        timeout_s: after the last moment in which a part of the kernels was being compiled.
    """

    def __init__(self, say: Say, timeout_s: float) -> None:
        self._say = say
        self._timeout_s = timeout_s
        self._began = time.monotonic()
        self._deadline = self._began + timeout_s
        self._kept = kernel_cache.functions_kept()
        self._said = ""
        self.compiled = False

    @property
    def waited_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def is_over(self, label: str, waits_for: str) -> bool:
        """Whether it has been waited long enough for what ``label`` waits for; says so while it is not."""
        now = time.monotonic()
        if now - self._began >= COMPILING_TIMEOUT_S:
            return True
        if parts := kernel_cache.parts_being_compiled():
            if not self.compiled:
                self._say(
                    f"waiting for kernels that are being compiled: {', '.join(parts)} "
                    f"(for {COMPILING_TIMEOUT_S:g} s at most)"
                )
            self.compiled = True
            self._deadline = now + self._timeout_s
        elif now - self._began >= SAY_AFTER_S and waits_for != self._said:
            self._said = waits_for
            left_s = max(self._deadline - now, 0.0)
            self._say(f"waiting for the {label}: {waits_for} (for {left_s:.0f} s more at most)")
        if now <= self._deadline:
            return False
        # Also a process that compiles what no part has goes on for as long as it gets somewhere.
        if (kept := kernel_cache.functions_kept()) == self._kept:
            return True
        self._say(f"{label} compiles kernels: {kept - self._kept:,} more functions are there")
        self._kept, self.compiled = kept, True
        self._deadline = now + self._timeout_s
        return False


def await_ready(children: Collection[ServiceChild], say: Say, require_running: Callable[[], None]) -> None:
    """Wait until all processes are ready.

    Args:
        children: that were started.
        say: is given a line for each that is ready, and for what is waited for.
        require_running: raises where one of the backend's processes has ended.

    Raises:
        NotReadyError: one is late.
    """
    for child in children:
        patience = Patience(say, READY_TIMEOUT_S)
        while not child.is_ready():
            require_running()
            if patience.is_over(child.label, _waits_for(child)):
                raise NotReadyError(_why_not_ready(child, patience))
            time.sleep(READY_POLL_S)
        if child.ready:
            say(f"{child.label}: ready on port {urlsplit(child.ready).port}")
    require_running()


def await_servers(fleet: ServiceChild, say: Say, require_running: Callable[[], None]) -> bool:
    """Wait until each region that is to have warm game servers has its first; says where that is too long.

    Args:
        fleet: as it was started.
        say: is given a line for what is waited for.
        require_running: raises where one of the backend's processes has ended.

    Returns:
        Whether they are there.
    """
    patience = Patience(say, SERVERS_TIMEOUT_S)
    while fleet.ready:
        answer = ask_ready(fleet.ready)
        if answer.is_ready and WARM_SERVERS not in answer.lacks:
            return True
        require_running()
        why = answer.lacks.get(WARM_SERVERS) or answer.in_words()
        if patience.is_over(fleet.label, why):
            say(
                f"{fleet.label}: {why} after {patience.waited_s:.0f} s; going on, and matches wait for "
                f"servers (log: {fleet.log})"
            )
            return False
        time.sleep(READY_POLL_S)
    return False


def _waits_for(child: Child) -> str:
    return child.waits_for or "it does not answer yet"


def _why_not_ready(child: Child, patience: Patience) -> str:
    """Say what a process that is late was doing, and what to do, in one line."""
    said = child.last_words()
    doing = "it had kernels to compile, and those that are there are kept; " if patience.compiled else ""
    busy, cores = os.getloadavg()[0], machine.cores()
    if busy > cores:
        doing += f"this machine is busy (load {busy:.1f} on {cores} cores); "
    return (
        f"{child.label} was not ready after {patience.waited_s:.0f} s ({_waits_for(child)}), its log ends "
        f"with {said!r}: {doing}start again, which goes on from here (log: {child.log})"
    )
