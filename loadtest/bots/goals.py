"""Where the bots of a mode go: the mode's own hook says it, for all of them at once, in each frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dedicated_server.cards import KIND_FLAG, KIND_NAMES, ModeCard
from dedicated_server.modes.loading import load_goals
from dedicated_server.native.compilation import STAGE, Floats, Ints, Records, njit
from dedicated_server.native.memory import StateHandle, load_state
from dedicated_server.protocol.client.knowledge import VIEW_TYPE, ModeView, find_flags, in_mode, is_playing
from dedicated_server.protocol.client.prediction import Prediction
from dedicated_server.protocol.movement import box_array

AskGoals = Callable[[int, Ints, Floats], None]
"""A mode's hook, compiled: the address of its view, k clients, and float64[k, 2] for the goal of each."""


def load_hooks(cards: Mapping[str, ModeCard]) -> dict[str, AskGoals]:
    """The hooks of those modes whose bots have one, by the mode's name. Raises HooksError."""
    loaded = {name: load_goals(card) for name, card in cards.items()}
    return {name: hook for name, hook in loaded.items() if hook is not None}


class _Hook(NamedTuple):
    mode: int
    ask: AskGoals
    view: StateHandle


class Goals:
    """The goals of a swarm's bots.

    Args:
        cards: the modes that its bots may play, in the order of their numbers.
        hooks: for each mode its hook, None where it has none.
        view: what the clients know.
        prediction: of the clients; it says the mode of each one's match.

    Attributes:
        goal_m: float64[clients, 2], where each goes, in metres; not a number where it has no goal.
    """

    def __init__(
        self,
        cards: Sequence[ModeCard],
        hooks: Sequence[AskGoals | None],
        view: ModeView,
        prediction: Prediction,
    ) -> None:
        clients = len(prediction.own)
        self.goal_m = np.full((clients, 2), np.nan)
        self._own = prediction.own
        self._listed, self._found_m = np.zeros(clients, np.int32), np.zeros((clients, 2))
        self._hooks = [
            _Hook(number, ask, StateHandle(_view_of(view, card), VIEW_TYPE))
            for number, (card, ask) in enumerate(zip(cards, hooks, strict=True))
            if ask is not None
        ]

    def compile(self) -> None:
        """Compile the hooks where need be."""
        for hook in self._hooks:
            hook.ask(hook.view.address, self._listed[:0], self._found_m[:0])

    def update(self) -> None:
        """Ask the hooks where everybody goes who is alive in a match that is being played."""
        for hook in self._hooks:
            count = list_playing(hook.view.address, self._own, hook.mode, self._listed)
            if count:
                hook.ask(hook.view.address, self._listed[:count], self._found_m[:count])
                self.goal_m[self._listed[:count]] = self._found_m[:count]

    def forget(self, client: int) -> None:
        """Make a client's goal what it was before its match."""
        self.goal_m[client] = np.nan


def _view_of(view: ModeView, card: ModeCard) -> ModeView:
    flags = card.objects.get(KIND_NAMES[KIND_FLAG], 0)
    return in_mode(view, teams=card.teams, flags=flags, boxes=box_array(card.boxes))


@njit(cache=True, nogil=True, **STAGE)
def list_playing(address: int, own: Records, mode: int, listed: Ints) -> int:
    """Write the clients into ``listed`` whose match is of a mode, and whose body lives in it; how many.

    Args:
        address: of the mode's view.
        own: of the clients' prediction: OWN[clients].
        mode: which.
        listed: int32[clients].
    """
    view, count = load_state(address, VIEW_TYPE), 0
    for client in range(len(own)):
        if own[client].mode == mode and is_playing(view, client):
            find_flags(view, client)
            listed[count] = client
            count += 1
    return count
