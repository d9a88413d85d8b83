"""The state of the bots: what each is like, and what it has in mind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.bots.perception import NO_TARGET
from loadtest.scenario.behaviour_profiles import BehaviourProfile

# The aim error's standard deviation in radians is AIM_AT_ZERO · exp(−skill / AIM_FADE). At 40 m a body is
# 0.025 rad wide, so a rating of 16 hits with 5 % of its shots and one of 35 with 11 %.
AIM_AT_ZERO = 0.5
AIM_FADE = 20.0

MOVEMENTS = ("roam", "hunt", "camp", "crowd", "stand")  # as BehaviourProfile has them
ROAM, HUNT, CAMP, CROWD, STAND = range(len(MOVEMENTS))

BOT_STATE_DTYPE = np.dtype(
    [
        ("aim_spread_radians", np.float64),
        ("rest_s", np.float64),  # from the end of a burst to the start of the next
        ("sight_m", np.float64),  # shoots at nobody beyond this; the rifle reaches 120
        ("aim_error_radians", np.float64),
        ("aim_until_s", np.float64),
        ("waypoint_x_m", np.float64),
        ("waypoint_y_m", np.float64),
        ("wander_until_s", np.float64),
        ("target_until_s", np.float64),
        ("seen_since_s", np.float64),  # when the present target came into sight
        ("fire_until_s", np.float64),  # the present burst's end
        ("rest_until_s", np.float64),  # no new burst before this, even at a new target
        ("strafe_until_s", np.float64),
        ("strafe_side", np.float64),  # −1, 0 or 1
        ("steer_x_m", np.float64),  # the next corner on the way to …
        ("steer_y_m", np.float64),
        ("steer_to_x_m", np.float64),  # … this place
        ("steer_to_y_m", np.float64),
        ("steer_until_s", np.float64),
        ("target", np.int32),  # entity aimed at, or NO_TARGET
        ("movement", np.int8),  # index into MOVEMENTS
        ("move_x", np.int8),
        ("move_y", np.int8),
        ("buttons", np.uint8),
        ("yaw", np.uint16),
    ]
)


def new_bot_states(
    skill: npt.NDArray[np.float64],
    kinds: Sequence[BehaviourProfile],
    kind: npt.NDArray[np.integer[Any]],
    rest_s: float,
) -> npt.NDArray[np.void]:
    """The state of ``len(skill)`` bots before they have seen anything.

    Args:
        skill: float64[bots], on OpenSkill's scale.
        kinds: the kinds of players.
        kind: int[bots], index into ``kinds``.
        rest_s: pause between two bursts of fire, of a kind whose ``rest`` is 1.
    """
    bot_states = np.zeros(len(skill), BOT_STATE_DTYPE)
    bot_states["aim_spread_radians"] = AIM_AT_ZERO * np.exp(-skill / AIM_FADE)
    bot_states["rest_s"] = rest_s * np.array([each.rest for each in kinds])[kind]
    bot_states["sight_m"] = np.array([each.sight_m for each in kinds])[kind]
    bot_states["movement"] = np.array([MOVEMENTS.index(each.movement) for each in kinds])[kind]
    bot_states["target"] = NO_TARGET
    return bot_states
