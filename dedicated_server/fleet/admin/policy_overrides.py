"""Policy overrides: the buffers and policies that operators have set, kept in a file until they are reset.

The file is replaced as a whole before the operator is answered: a fleet that is killed has the override or
has it not, and an operator who was answered finds it kept.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from dedicated_server.fleet.autoscaling.policy import AutoscalerSpec, PolicyError, parse_policy
from dedicated_server.fleet.pool import metrics
from launchday.folders import create_new

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PolicyOverride:
    """The policy that an operator has set for a region.

    Attributes:
        policy: the policy in Agones' JSON.
        by: who set it.
        at: when, Unix seconds.
    """

    policy: dict[str, Any]
    by: str
    at: float

    @property
    def autoscaler(self) -> AutoscalerSpec:
        """The policy, parsed. Raises PolicyError."""
        return parse_policy(self.policy)

    def as_json(self) -> dict[str, Any]:
        """Return who set it and when."""
        return {"by": self.by, "at": self.at}


def buffer_policy(ready: int) -> dict[str, Any]:
    """Return the policy that keeps ``ready`` idle servers, in Agones' JSON."""
    return {"type": "Buffer", "buffer": {"bufferSize": ready}}


class PolicyOverrides:
    """The overrides by region.

    A file that cannot be read is logged and ignored; one that cannot be written raises OSError.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._overrides = _read(path)

    def get(self, region: str) -> PolicyOverride | None:
        """Return the override of a region; None where the configured policy holds."""
        return self._overrides.get(region)

    def set(self, region: str, override: PolicyOverride | None) -> None:
        """Keep an override, or with None remove it. Raises OSError, and then nothing has changed."""
        wanted = {name: one for name, one in self._overrides.items() if name != region}
        if override is not None:
            wanted[region] = override
        fresh = self._path.with_suffix(".new")
        try:
            with os.fdopen(create_new(fresh, 0o644), "w", encoding="utf-8") as file:
                json.dump({name: asdict(one) for name, one in wanted.items()}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
        except OSError:
            metrics.disk_errors.labels("policies").inc()
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
        self._overrides = wanted


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
    override = PolicyOverride(dict(fields["policy"]), str(fields["by"]), float(fields["at"]))
    try:
        override.autoscaler  # noqa: B018 - parsing it is the check
    except PolicyError as error:
        raise ValueError(str(error)) from error
    return override
