"""The credential file of a fleet: its address and an operator's token, readable by the fleet's user alone.

It gives that user nothing new: whoever can read it can read the fleet's environment, and so the secret that
    signs tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

from launchday.folders import write_whole
from launchday.identity import OPERATOR, Signer
from launchday.settings import Settings

TTL_S = 30 * 24 * 3600.0


def write(settings: Settings, signer: Signer, now: float) -> None:
    """Write the file into the state folder, whole or not at all; ``now`` is Unix seconds. Raises OSError."""
    scheme = "https" if settings.tls_certificate else "http"
    token = signer.service_token("operator", now, TTL_S, roles=(OPERATOR,))
    content = {"url": f"{scheme}://{settings.bind_host}:{settings.fleet_port}", "token": token}
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content).encode(), 0o600)


def remove(settings: Settings) -> None:
    """Remove the file, because the fleet ends."""
    _path(settings).unlink(missing_ok=True)


def _path(settings: Settings) -> Path:
    return settings.state_dir / "fleet" / "access.json"
