"""Standing orders: the buffers and policies that operators have set, in a file, so that they hold until they are taken back.

The file is replaced whole before the operator gets an answer: a fleet that is killed has the order or has not, and whoever was answered has it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from dedicated_server.fleet.autoscaling.policy import AutoscalerSpec, PolicyError, parse_policy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PolicyOverride:
    """What an operator wants of a region.

    Attributes:
        policy: in Agones' JSON.
        by: who set it.
        at: Unix seconds.
    """

    policy: dict[str, Any]
    by: str
    at: float

    @property
    def autoscaler(self) -> AutoscalerSpec:
        """The policy, read. Raises PolicyError."""
        return parse_policy(self.policy)

    def as_json(self) -> dict[str, Any]:
        """Who set it and when."""
        return {"by": self.by, "at": self.at}


def buffer_policy(ready: int) -> dict[str, Any]:
    """The policy that keeps so many idle servers."""
    return {"type": "Buffer", "buffer": {"bufferSize": ready}}


class PolicyOverrides:
    """The orders by region. A file that cannot be read is mentioned and left out; one that cannot be written raises OSError.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._orders = _read(path)

    def get(self, region: str) -> PolicyOverride | None:
        """What is ordered of a region; None: what the fleet was configured with."""
        return self._orders.get(region)

    def set(self, region: str, order: PolicyOverride | None) -> None:
        """Keep an order, or take it back."""
        wanted = {name: one for name, one in self._orders.items() if name != region}
        if order is not None:
            wanted[region] = order
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({name: asdict(one) for name, one in wanted.items()}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path)
        self._orders = wanted


def _read(path: Path) -> dict[str, PolicyOverride]:
    try:
        stored = json.loads(path.read_bytes())
        return {str(region): _override(fields) for region, fields in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        log.error(
            "operators' policies cannot be read: every region has its configured one",
            file=str(path),
            error=str(error),
        )
        return {}


def _override(fields: Mapping[str, Any]) -> PolicyOverride:
    order = PolicyOverride(dict(fields["policy"]), str(fields["by"]), float(fields["at"]))
    try:
        order.autoscaler  # noqa: B018 - reading it is the check
    except PolicyError as error:
        raise ValueError(str(error)) from error
    return order
