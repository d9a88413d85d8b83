"""What the bots of a match without a network do in a tick, from what their clients know."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.cards import ModeCard
from dedicated_server.native import plain
from dedicated_server.native.compilation import STAGE, Floats, Ints, njit
from dedicated_server.protocol.client.knowledge import ModeView, position_of
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_TICK,
    INPUT_VIEW_TICK,
    INPUT_YAW,
)
from dedicated_server.simulation.world import Inputs
from loadtest.bots.aim import choose_target
from loadtest.bots.behaviour import decide
from loadtest.bots.bot_state import new_bot_states
from loadtest.bots.mode_table import ModeTable, mode_table
from loadtest.bots.perception import NO_TARGET
from loadtest.scenario.behaviour_profiles import BehaviourProfile

SKILL_MEAN: Final = 25.0  # OpenSkill's scale, on which a new player is that good …
SKILL_DEVIATION: Final = 25.0 / 3.0  # … and so uncertain
REST_S: Final = 1.0  # between two bursts of fire
THINK_TICKS: Final = 3  # bots decide 20 times a second: in plain Python that is what a match costs
ONLY_MODE: Final = 0  # row of the table of modes


class Minds(NamedTuple):
    """What P bots have in mind.

    Attributes:
        states: bot_state.BOT_STATE_DTYPE[P].
        streams: uint64[P], random streams.
        modes: the one mode.
        goals_m: float64[P, 2], where the mode's hook says each goes; not a number where it says nothing.
        clients: int32[P], 0 … P − 1.
    """

    states: npt.NDArray[np.void]
    streams: npt.NDArray[np.uint64]
    modes: ModeTable
    goals_m: Floats
    clients: Ints


def new_minds(card: ModeCard, players: int, seed: int) -> Minds:
    """Draw bots that hunt, as good as a population's players are."""
    generator = np.random.default_rng([seed, 1])
    skill = generator.normal(SKILL_MEAN, SKILL_DEVIATION, players)
    states = new_bot_states(skill, [BehaviourProfile(movement="hunt")], np.zeros(players, np.int64), REST_S)
    return Minds(
        states=plain.with_attributes(states),
        streams=generator.integers(1 << 64, size=players, dtype=np.uint64),
        modes=mode_table([card]),
        goals_m=np.full((players, 2), np.nan),
        clients=np.arange(players, dtype=np.int32),
    )


@njit(cache=True, nogil=True, **STAGE)
def think(minds: Minds, view: ModeView, tick: int) -> None:
    """Let every bot decide what it does from ``tick`` on: what it sees is of the tick before."""
    now_s = tick / TICK_HZ
    for bot in range(len(minds.clients)):
        target = choose_target(minds.states, minds.streams, bot, view, bot, minds.modes, ONLY_MODE, now_s)
        enemy_x_m, enemy_y_m = math.nan, math.nan
        if target != NO_TARGET:
            enemy_x_m, enemy_y_m = position_of(view, bot, target)
        decide(
            minds.states,
            minds.streams,
            bot,
            view,
            bot,
            minds.modes,
            ONLY_MODE,
            enemy_x_m,
            enemy_y_m,
            minds.goals_m[bot, 0],
            minds.goals_m[bot, 1],
            now_s,
        )


@njit(cache=True, nogil=True, **STAGE)
def write_inputs(minds: Minds, inputs: Inputs, tick: int) -> None:
    """Write each bot's input for ``tick``: it does what it has decided last."""
    for bot in range(len(minds.clients)):
        state = minds.states[bot]
        row = inputs.rows[bot, tick % inputs.rows.shape[1]]
        row[INPUT_TICK] = tick
        row[INPUT_MOVE_X] = state.move_x
        row[INPUT_MOVE_Y] = state.move_y
        row[INPUT_YAW] = state.yaw
        row[INPUT_BUTTONS] = state.buttons
        row[INPUT_VIEW_TICK] = tick - 1
        inputs.newest[bot] = tick
