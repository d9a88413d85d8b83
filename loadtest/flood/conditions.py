"""The conditions under which a run was measured: whether its players came when they meant to, and what else
the machine did meanwhile.

A backend that gets its players late is not under the load that the scenario asks for, and one that shares its
machine is measured together with whatever else runs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from loadtest.players.player_records import PlayerRecords

# Beyond it a run says so in its verdict. With 2 cores it is half a core: enough to move the p99 of a tick,
# and more than a desktop or a monitoring agent takes by itself.
BUSY_SHARE = 0.25
LATE_S = 0.5  # an arrival that is later is not the scenario's curve; see GeneratorHealth


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What others used of the machine while the run played, on average.

    Attributes:
        others_cores: processor cores that neither this process nor the backend used; None where that is not
            known.
        cores: of the machine; 0 where that is not known.
        backend_included: whether the backend counts with the others, where it runs on this machine: nobody
            knows which processes are its.
    """

    others_cores: float | None = None
    cores: int = 0
    backend_included: bool = False

    @classmethod
    def of(cls, others_s: float, played_s: float, *, backend_included: bool = False) -> MachineUse:
        """The use of this machine, by the seconds of processor time of others while it played."""
        cores = max(0.0, others_s) / max(played_s, 1e-9)
        return cls(cores, psutil.cpu_count() or 0, backend_included)

    @property
    def others_share(self) -> float | None:
        """Share of the machine that others used; None where that is not known."""
        return None if self.others_cores is None or not self.cores else self.others_cores / self.cores

    @property
    def busy(self) -> bool:
        """Whether others used so much that the figures may be theirs."""
        return (self.others_share or 0.0) > BUSY_SHARE

    @property
    def sentence(self) -> str:
        """What a verdict says about it; "" where nobody took the machine."""
        if not self.busy:
            return ""
        others = "others, the backend among them where it runs here," if self.backend_included else "others"
        return (
            f"{others} used {self.others_share:.0%} of the machine while it played "
            f"({self.others_cores:.2f} of {self.cores} cores)"
        )

    def as_json(self) -> dict[str, Any]:
        """The use, as the run's JSON shows it."""
        share = self.others_share
        return {
            "others_cores": None if self.others_cores is None else round(self.others_cores, 3),
            "cores": self.cores,
            "others_share": None if share is None else round(share, 4),
            "backend_included": self.backend_included,
            "limit_share": BUSY_SHARE,
            "busy": self.busy,
        }


@dataclass(frozen=True, slots=True)
class ArrivalRate:
    """How fast players were to arrive until the run ended, and how fast they did.

    Attributes:
        due: players whose time to arrive came before the end.
        arrived: those of them who did arrive.
        intended_s: seconds from the first of these times to the last.
        reached_s: seconds from the first of these times to the last arrival.
        late_s: by how much the latest percent of them came late, in seconds (p99).
    """

    due: int
    arrived: int
    intended_s: float
    reached_s: float
    late_s: float

    @classmethod
    def of(cls, records: PlayerRecords, until_s: float) -> ArrivalRate:
        """The rate of the players of a run whose playing ended ``until_s`` seconds after its start."""
        due = records.intended_s <= until_s - LATE_S  # the last of them may be under way when it ends
        arrived = due & np.isfinite(records.arrived_s)
        if not due.any():
            return cls(0, 0, 0.0, 0.0, 0.0)
        intended_s, arrived_s = records.intended_s[due], records.arrived_s[arrived]
        first_s = float(intended_s.min())
        late_s = arrived_s - records.intended_s[arrived]
        return cls(
            due=int(due.sum()),
            arrived=int(arrived.sum()),
            intended_s=float(intended_s.max()) - first_s,
            reached_s=float(arrived_s.max(initial=first_s)) - first_s,
            late_s=float(np.percentile(late_s, 99)) if len(late_s) else 0.0,
        )

    @property
    def intended_per_s(self) -> float:
        """Players a second who were to arrive, on average; of those within one second, all."""
        return self.due / max(self.intended_s, 1.0)

    @property
    def reached_per_s(self) -> float:
        """Players a second who arrived, on average."""
        return self.arrived / max(self.reached_s, 1.0)

    @property
    def reached(self) -> bool:
        """Whether everybody who was due came, and hardly anybody late."""
        return self.arrived == self.due and self.late_s <= LATE_S

    @property
    def sentence(self) -> str:
        """What a verdict says about it; "" where the rate was reached."""
        if self.reached:
            return ""
        why = [
            *([f"{self.due - self.arrived:,} of {self.due:,} never came"] if self.arrived < self.due else []),
            *([f"they came {self.late_s * 1e3:,.0f} ms late (p99)"] if self.late_s > LATE_S else []),
        ]
        return (
            f"the rate was not reached: {self.reached_per_s:.3g} of {self.intended_per_s:.3g} players/s, "
            f"{' and '.join(why)}"
        )

    def as_json(self) -> dict[str, Any]:
        """The rate, as the run's JSON shows it."""
        return {
            "intended_per_s": round(self.intended_per_s, 4),
            "reached_per_s": round(self.reached_per_s, 4),
            "due": self.due,
            "arrived": self.arrived,
            "reached": self.reached,
        }
