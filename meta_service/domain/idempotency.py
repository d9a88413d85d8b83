"""Idempotency keys: a request repeated under its key has its effect once and gets the first answer again.

The key, a hash of the request and the answer are written in the transaction that has the effect (see
``idempotency_claim`` in the migration ``r0014_one_trip``). So there is no moment at which one of them is
there without the others, whichever process is killed. A refusal takes the key back too: it may be used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SERVICES_OWNER = 0  # owner of the keys that services use; a player's keys are the player's own
OPERATORS_OWNER = -1  # and of those that operators use


def request_hash(request: Mapping[str, Any]) -> bytes:
    """The 32 bytes by which two requests with one key are compared; the same key with others is refused."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
