"""The signer that a process's settings name, and its keys, read again when their file changes."""

from __future__ import annotations

from pathlib import Path

import structlog

from launchday.clock import Clock
from launchday.identity.errors import KeyFileError, WeakSecretError
from launchday.identity.key_file import PUBLIC, read_key_file
from launchday.identity.keys import WHAT_IS_NEEDED, Key, KeySet
from launchday.identity.signer import Signer
from launchday.settings import Settings, env_name

LOOK_S = 1.0  # between two looks at the file: a question to the file system, 10 µs

log = structlog.get_logger()


def signer_of(settings: Settings, reader: str = PUBLIC) -> Signer:
    """Return the signer of a process.

    Args:
        settings: ``identity_keys``, ``identity_secret``, and what tokens say besides.
        reader: whose file of ``identity_keys`` is read where that is a folder.

    Raises:
        KeyFileError: the key file cannot be used.
        WeakSecretError: there is neither a key file nor a proper secret.
    """
    return Signer(
        read_keys(settings, reader),
        settings.clock_tolerance_s,
        issuer=settings.identity_issuer,
        audience=settings.identity_audience,
        plain=settings.identity_plain,
    )


def read_keys(settings: Settings, reader: str = PUBLIC) -> KeySet:
    """Read the keys that the settings name. Raises KeyFileError or WeakSecretError."""
    path = key_path(settings, reader)
    secret = settings.identity_secret.get_secret_value()
    if path is None and not secret:
        raise WeakSecretError(WHAT_IS_NEEDED)
    keys = [] if path is None else list(read_key_file(path))
    if secret:
        keys.append(Key.of_secret(secret))
    return KeySet(keys)


def why_no_keys(settings: Settings) -> str | None:
    """Say why the key file that the settings name cannot be used, in one line; None where it can, or there
    is none.
    """
    try:
        path = key_path(settings)
        if path is not None:
            read_key_file(path)
    except KeyFileError as error:
        return f"{error}: correct {env_name('identity_keys')}, or launchday keys make"
    return None


def key_path(settings: Settings, reader: str = PUBLIC) -> Path | None:
    """Return the key file that a process reads; None where the settings name none."""
    if not settings.identity_keys:
        return None
    given = Path(settings.identity_keys)
    if not given.is_dir():
        return given
    own = given / f"{reader}.json"
    return own if own.exists() else given / f"{PUBLIC}.json"


class KeyWatch:
    """Keeps a signer's keys as its file has them. A file that is wrong changes nothing.

    Args:
        signer: made by `signer_of` with the same settings and reader.
        settings, reader: as there.
        clock: paces the looks.
    """

    def __init__(self, signer: Signer, settings: Settings, reader: str, clock: Clock) -> None:
        self._signer = signer
        self._settings = settings
        self._reader = reader
        self._clock = clock
        self._seen = self._state()

    def look(self) -> None:
        """Read the file again where it has changed."""
        self._take(self._changed())

    async def read(self) -> None:
        """Read the file again, changed or not. Raises KeyFileError."""
        self._take(await self._clock.run_in_thread(read_keys, self._settings, self._reader))

    async def run(self) -> None:
        """Look every `LOOK_S`, until cancelled; at once done where there is no file."""
        while self._settings.identity_keys:
            await self._clock.sleep(LOOK_S)
            self._take(await self._clock.run_in_thread(self._changed))

    def _changed(self) -> KeySet | None:
        state = self._state()
        if state == self._seen:
            return None
        self._seen = state
        try:
            return read_keys(self._settings, self._reader)
        except KeyFileError as error:
            log.error("keys not read again: those in force stay", reason=str(error))
            return None

    def _take(self, keys: KeySet | None) -> None:
        if keys is not None:
            self._signer.use(keys)
            log.info("keys read again", keys=[key.key_id for key in keys.keys])

    def _state(self) -> tuple[int, int, int] | None:
        path = key_path(self._settings, self._reader)
        try:
            found = None if path is None else path.stat()
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)
