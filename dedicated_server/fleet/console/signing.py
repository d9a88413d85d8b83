"""The console's signer: it verifies visitors' tokens, and signs the console's own."""

from __future__ import annotations

from launchday.clock import Clock
from launchday.identity import KeyWatch, Signer, signer_of
from launchday.settings import Settings

KEYS = "fleet"  # the console is the fleet's child, and reads its key file

_signers: dict[Settings, tuple[Signer, KeyWatch]] = {}  # a console has one


def current_signer(settings: Settings, clock: Clock) -> Signer:
    """Return the signer, with the keys as they are now: pages are opened seldom, so the file is looked at."""
    if settings not in _signers:
        signer = signer_of(settings, KEYS)
        _signers[settings] = signer, KeyWatch(signer, settings, KEYS, clock)
    signer, watch = _signers[settings]
    watch.look()
    return signer
