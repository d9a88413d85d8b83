"""All UDP bots of one process: a thread that runs the compiled step 240 times a second, and what coroutines
ask of it.

Arrays are written by the thread alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from dedicated_server.cards import ModeCard
from dedicated_server.protocol.client.knowledge import forget_knowledge, new_mode_view
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, CLIENT_GONE, SENT_RING
from dedicated_server.protocol.connect_token import ConnectTokenError, Family
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.movement import movement_of
from loadtest.bots import step, udp
from loadtest.bots.bot_state import new_bot_states
from loadtest.bots.combat import COMBAT_COLUMNS, DEATHS, KILLS
from loadtest.bots.goals import AskGoals, Goals
from loadtest.bots.links import DELIVERED, LOST, OVERFLOWED, SENT, link_queue
from loadtest.bots.mode_table import mode_table
from loadtest.bots.perception import forget_perception, new_perception
from loadtest.bots.session import PlayerLink, SessionStatistics, SessionStatus
from loadtest.bots.step_thread import StepThread
from loadtest.errors import SwarmError
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population

BURST_DATAGRAMS = 32  # in flight on one link beyond the steady flow
RATE_MARGIN = 2.0  # the queue of a link holds twice what flows at 60 a second


@dataclass(slots=True)
class Roaming:
    """A bot that goes on from another port and has not heard the server there.

    Attributes:
        input_tick: of the first input that leaves by it.
        began_s: when that was, by the machine's monotonic clock; 0: it has not been.
    """

    input_tick: int
    began_s: float = 0.0


class Swarm:
    """The UDP side of a population. Use it as an async context manager.

    Args:
        population: the bots.
        cards: the modes that they may play, by name.
        players: of the largest match.
        scenario: defines the kinds of players.
        longest_ms: the longest that a datagram takes one way on any bot's link; sizes the queues.
        hooks: of the modes whose bots have a goal, by the mode's name.
        prefer: the family of the address that bots take of a server that has both; None: the token's first.
    """

    def __init__(
        self,
        population: Population,
        *,
        cards: Mapping[str, ModeCard],
        players: int,
        scenario: Scenario,
        longest_ms: float,
        hooks: Mapping[str, AskGoals] | None = None,
        prefer: Family | None = None,
    ) -> None:
        bots = len(population)
        longest_s = longest_ms / 1e3
        capacity = bots * (BURST_DATAGRAMS + round(RATE_MARGIN * TICK_HZ * longest_s))
        self._modes = list(cards)
        self._players = players
        self._prefer = prefer
        entities = players + max(card.objects_count for card in cards.values())
        self._clients = ClientSessions(capacity=bots, entities=entities)
        knowledge = new_mode_view(self._clients.state)
        perception = new_perception(bots, *(movement_of(card) for card in cards.values()))
        self._goals = Goals(
            list(cards.values()),
            [(hooks or {}).get(name) for name in cards],
            knowledge,
            perception.prediction,
        )
        self._state = step.SwarmState(
            perception=perception,
            knowledge=knowledge,
            modes=mode_table(list(cards.values())),
            goal_m=self._goals.goal_m,
            combat=np.zeros((bots, COMBAT_COLUMNS), np.int64),
            inbound=link_queue(population.link_seed[:, 1], capacity, udp.DATAGRAM_BYTES),
            outbound=link_queue(population.link_seed[:, 0], capacity, udp.DATAGRAM_BYTES),
            bot_states=new_bot_states(
                population.skill,
                [scenario.behaviours.profile(name) for name in population.behaviours],
                population.behaviour,
                scenario.behaviours.rest_s,
            ),
            streams=population.behaviour_seed.copy(),
            sockets=np.full(bots, udp.UNUSED, np.int32),
            read_s=np.zeros(bots),
            session=np.full(bots, step.NO_SESSION, np.int32),
            status=np.zeros(bots, np.int64),
            changed=np.zeros(bots, np.int32),
            view_tick=np.zeros(bots),
            inbox=udp.new_inbox(),
            lengths=np.zeros(udp.MAX_BATCH_DATAGRAMS, np.int64),
            outbox=np.zeros(udp.DATAGRAM_BYTES, np.uint8),
            counts=np.zeros(step.COUNTS, np.int64),
            stage_ns=np.zeros(len(step.STAGES), np.int64),
            clock=np.zeros(2, np.int64),
        )
        self._sockets: dict[int, socket.socket] = {}
        self._roaming: dict[int, Roaming] = {}
        self._closing: list[tuple[float, int]] = []
        self._status: dict[int, SessionStatus] = {}
        self._region: dict[int, str] = {}
        self._cut: set[str] = set()
        self._thread = StepThread(self._step, self._end_sessions)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._linger_s = longest_s + 0.1  # until the last good-bye is through the link
        self._goals_ns = 0

    async def __aenter__(self) -> Self:
        """Compile the step if need be, and start the thread."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._compile)
        self._thread.start()
        return self

    def _compile(self) -> None:
        self._goals.compile()
        self._goals.update()
        step.step(self._state, 0, time.monotonic(), 0.0)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._thread.stop()
        for opened in self._sockets.values():
            opened.close()
        self._sockets.clear()

    async def join(self, bot: int, connect_token: bytes, link: PlayerLink, mode: str) -> SessionStatus:
        """Start a bot's handshake with the server that its token names.

        Args:
            bot: who.
            connect_token: of the match.
            link: between the bot and the server.
            mode: what the match is played in.

        Returns:
            The session's status, which changes as the session does.

        Raises:
            ConnectTokenError: the token is none, or its match is larger than the swarm was made for.
            OSError: no socket can be opened.
            SwarmError: the thread has ended, or the bots do not know the mode.
        """
        status = SessionStatus()

        def on_thread() -> None:
            self._close(bot)  # its good-bye to the last server may still be on its way
            session = self._clients.add(connect_token, self._prefer)
            self._begin(session, mode)
            try:
                if self._clients.sessions["own_entity"][session] >= self._players:
                    raise ConnectTokenError(
                        f"the match has more than the {self._players} players of the scenario"
                    )
                opened = self._open_socket(session)
            except (ConnectTokenError, OSError):
                self._clients.free(session)
                raise
            self._sockets[bot] = opened
            state = self._state
            profile = link.profile
            for queue_, kbit_s in (
                (state.inbound, profile.down_kbit_s),
                (state.outbound, profile.up_kbit_s),
            ):
                for name, value in profile.direction(link.rtt_ms, kbit_s).items():
                    queue_.links[name][bot] = value
                queue_.states[bot] = (False, 0.0)
            self._status[bot] = status
            self._region[bot] = link.region
            self._set_cut(bot)
            state.status[bot] = 0
            state.combat[bot] = 0
            state.sockets[bot] = opened.fileno()
            state.read_s[bot] = time.monotonic()
            state.session[bot] = session

        if mode not in self._modes:
            raise SwarmError(f"the match is played in {mode!r}, and the bots know {', '.join(self._modes)}")
        await self._thread.run(on_thread)
        return status

    def _open_socket(self, session: int) -> socket.socket:
        opened = udp.open_to_any(self._clients.addresses_of(session))
        udp.enable_timestamps(opened)
        return opened

    async def roam(self, bot: int) -> None:
        """Let a bot go on from another port, as a player whose network has changed: its client does nothing.

        The session's status says when the server was heard there. A bot that has left stays away.

        Raises:
            OSError: no socket can be opened.
            SwarmError: the thread has ended.
        """

        def on_thread() -> None:
            session = int(self._state.session[bot])
            if session == step.NO_SESSION:
                return
            opened = self._open_socket(session)
            self._sockets.pop(bot).close()
            self._sockets[bot] = opened
            self._state.sockets[bot] = opened.fileno()
            self._roaming[bot] = Roaming(int(self._clients.sessions["input_tick"][session]) + 1)

        await self._thread.run(on_thread)

    def _begin(self, session: int, mode: str) -> None:
        """Make a client's session one that knows nothing yet of a match in a mode."""
        number = self._modes.index(mode)
        self._goals.forget(session)
        forget_knowledge(self._state.knowledge, session)
        forget_perception(self._state.perception, session)
        self._state.perception.prediction.own["mode"][session] = number

    async def leave(self, bot: int, *, silently: bool = False) -> SessionStatistics:
        """Let a bot say good-bye, and return what its client measured.

        The socket stays open until the good-bye has passed the link. With ``silently`` the bot vanishes at
        once, and the server has to find out by itself.
        """

        def on_thread() -> SessionStatistics:
            session = int(self._state.session[bot])
            record = self._clients.state.sessions[session]
            rtt_s = float(record["rtt_s"])
            measured = SessionStatistics(
                rtt_ms=rtt_s * 1e3 if rtt_s > 0 else float("nan"),
                received_bytes=int(record["received_bytes"]),
                sent_bytes=int(record["sent_bytes"]),
                kills=int(self._state.combat[bot, KILLS]),
                deaths=int(self._state.combat[bot, DEATHS]),
                reason=int(record["reason"]),
            )
            self._status.pop(bot, None)
            self._region.pop(bot, None)
            if silently:
                self._close(bot)
                return measured
            self._clients.leave(session)
            # Three frames of good-byes, then the link's delay.
            self._closing.append((time.monotonic() + 6 / TICK_HZ + self._linger_s, bot))
            return measured

        return await self._thread.run(on_thread)

    async def cut(self, region: str, *, off: bool) -> None:
        """Drop all datagrams between players and the game servers of a region, or let them pass again."""

        def on_thread() -> None:
            (self._cut.add if off else self._cut.discard)(region)
            for bot, where in self._region.items():
                if where == region:
                    self._set_cut(bot)

        await self._thread.run(on_thread)

    def _set_cut(self, bot: int) -> None:
        off = self._region.get(bot) in self._cut
        for queue_ in (self._state.inbound, self._state.outbound):
            queue_.links["cut"][bot] = off

    def step_lateness_us(self, *points: float) -> dict[str, float | None]:
        """Percentiles of how late steps began, in µs; 100 is "max". None before the first step."""
        return self._thread.lateness_us(*points)

    @property
    def steps(self) -> int:
        """Steps that were made."""
        return self._thread.steps

    @property
    def steps_missed(self) -> int:
        """Steps that were skipped, because the thread was a frame behind."""
        return self._thread.steps_missed

    @property
    def stages_s(self) -> dict[str, float]:
        """Seconds of processor time by stage of the step; what waits for the network costs none."""
        spent_ns = dict(zip(step.STAGES, self._state.stage_ns.tolist(), strict=True)) | {
            "goals": self._goals_ns
        }
        return {name: round(ns / 1e9, 3) for name, ns in spent_ns.items()}

    @property
    def links(self) -> dict[str, dict[str, int]]:
        """Datagrams by direction: sent into the links, lost, delivered, overflowed."""
        offsets = {"sent": SENT, "lost": LOST, "delivered": DELIVERED, "overflowed": OVERFLOWED}
        directions = {"to servers": self._state.outbound, "from servers": self._state.inbound}
        return {
            direction: {name: int(link.counts[offset]) for name, offset in offsets.items()}
            for direction, link in directions.items()
        }

    @property
    def rtt_ms(self) -> npt.NDArray[np.float64]:
        """float64[B]: round trip as the clients measure it now, NaN where not connected."""
        sessions, records = self._state.session, self._clients.state.sessions
        connected = (sessions != step.NO_SESSION) & (records["state"][sessions] == CLIENT_CONNECTED)
        rtt_s = np.where(connected, records["rtt_s"][sessions], np.nan)
        return np.where(rtt_s > 0, rtt_s * 1e3, np.nan)

    def _step(self, number: int, now_s: float) -> None:
        """Make a step, on the thread."""
        while self._closing and self._closing[0][0] <= now_s:
            self._close(self._closing[0][1])
        if number % step.STEPS_PER_FRAME == 0:
            self._ask_goals()
        changed = step.step(self._state, number, now_s, time.time() - now_s)
        for bot in list(self._roaming):
            self._look_for(bot)
        for bot in self._state.changed[:changed]:
            status = self._status.get(int(bot))
            if status is not None:
                self._pass_on(status, int(self._state.status[bot]))

    def _look_for(self, bot: int) -> None:
        """See whether the server has heard a bot at its new port, and the bot has heard that."""
        roaming, record = self._roaming[bot], self._clients.sessions[self._state.session[bot]]
        if not roaming.began_s and record["input_tick"] >= roaming.input_tick:
            roaming.began_s = float(record["sent_at_s"][roaming.input_tick % SENT_RING])
        if record["input_echo"] < roaming.input_tick:
            return
        del self._roaming[bot]
        if (status := self._status.get(bot)) is not None:
            self._call(status.come_back, float(record["snapshot_at_s"]) - roaming.began_s)

    def _end_sessions(self) -> None:
        """End every bot's session: the thread has failed."""
        for status in list(self._status.values()):
            self._pass_on(status, CLIENT_GONE)

    def _ask_goals(self) -> None:
        """Let the modes' hooks say where everybody goes, in this frame."""
        begun_ns = time.thread_time_ns()
        self._goals.update()
        self._goals_ns += time.thread_time_ns() - begun_ns

    def _close(self, bot: int) -> None:
        """Close a bot's socket; nothing where it has none."""
        self._closing = [item for item in self._closing if item[1] != bot]
        self._roaming.pop(bot, None)
        if bot in self._sockets:
            self._state.sockets[bot] = udp.UNUSED
            if (session := int(self._state.session[bot])) != step.NO_SESSION:
                self._clients.free(session)
            self._state.session[bot] = step.NO_SESSION
            self._sockets.pop(bot).close()

    def _pass_on(self, status: SessionStatus, value: int) -> None:
        self._call(status.update, value)

    def _call(self, change: Callable[..., None], value: float) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has closed, and nobody waits any more
            self._loop.call_soon_threadsafe(change, value)
