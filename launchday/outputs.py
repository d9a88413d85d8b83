"""Files that a command writes for its user: looked at before the work begins, written whole at its end.

A flood that has been played for ten minutes must not end with a folder that is missing, so a command gives
its targets to `check` first. What fails later all the same, such as a disk that has filled up, costs that
file alone: `Outputs` writes the others, and tells what was not written.

A file is written under a name that nobody has, beside its place, and then renamed: who looks at it sees the
former file or the whole new one.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from launchday.errors import LaunchdayError

# A file in a folder that is not ours to change, or one that is mounted by itself, is written where it is.
IN_PLACE_ALONE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS)


class OutputError(LaunchdayError):
    """Raised where a file cannot be written: mend what the text names, or name another file.

    Attributes:
        exit_code: of a command that finds it out before it begins.
    """

    exit_code = 2


def check(*paths: Path | None) -> None:
    """Look whether files can be written, without writing them; None is no file.

    Raises:
        OutputError: a folder is missing, full or not writable, a folder has that name, two are the same file.
    """
    places: set[Path] = set()
    for path in paths:
        if path is None:
            continue
        try:
            place = Path(os.path.realpath(path))
            if place in places:
                raise OutputError(
                    f"two outputs would be written to {path}: name another file for one of them"
                )
            _check(path, place)
        except (OSError, ValueError) as error:
            raise _error(path, error) from error
        if place.is_file() or not place.exists():
            places.add(place)


def check_folder(path: Path) -> None:
    """Look whether files can be written into a folder, which may be missing. Raises OutputError."""
    try:
        nearest = path.absolute()
        while not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            raise OutputError(f"cannot write into {path}: {nearest} is no folder; name another")
        _try_file_in(nearest)
    except (OSError, ValueError) as error:
        raise _error(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder for files, and those above it; one that is there stays. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _error(path, error) from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; text as UTF-8. A link is followed; a device is written as it is.

    Raises:
        OutputError: it cannot be written; a former file is still there.
    """
    given = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_file():
            place.write_bytes(given)
            return
        part = place.with_name(f".{secrets.token_hex(8)}.part")
        try:
            _write_new(part, given)
            if place.exists():
                part.chmod(place.stat().st_mode & 0o777)
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            if error.errno not in IN_PLACE_ALONE or not place.exists():
                raise
            place.write_bytes(given)
    except (OSError, ValueError) as error:
        raise _error(path, error) from error


@contextmanager
def whole_files(*paths: Path) -> Iterator[list[BinaryIO]]:
    """Open a new file for each path; at the end of the block all take their places, or none where it fails.

    For what is too large to be made in memory, and for files that belong together.

    Raises:
        OutputError: one cannot be written; former files are still there.
    """
    parts: list[tuple[Path, Path]] = []
    try:
        with ExitStack() as opened:
            files = []
            for path in paths:
                place = Path(os.path.realpath(path))
                parts.append((place.with_name(f".{secrets.token_hex(8)}.part"), place))
                files.append(opened.enter_context(_open_new(parts[-1][0])))
            yield files
        for part, place in parts:
            if place.exists():
                part.chmod(place.stat().st_mode & 0o777)
            part.replace(place)
    except (OSError, ValueError) as error:
        raise _error(paths[len(parts) - 1] if parts else Path(), error) from error
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)


class Outputs:
    """The files that one command writes. One that cannot be written does not cost the others.

    Attributes:
        failures: a line for each file that was not written.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def attempt(self, write: Callable[[], None]) -> bool:
        """Write a file with a function that raises OutputError; returns whether it was written."""
        try:
            write()
        except OutputError as error:
            self.failures.append(str(error))
            return False
        return True


def _check(path: Path, place: Path) -> None:
    if place.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    if not place.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {place.parent}; make it, or name another")
    try:
        known = place.lstat()  # refuses a name that is too long
    except FileNotFoundError:
        known = None
    if known is not None:
        if not os.access(place, os.W_OK):
            raise OutputError(f"cannot write {path}: it may not be overwritten; name another file")
        if not place.is_file():
            return  # a device or a pipe
    try:
        _try_file_in(place.parent)
    except OSError as error:
        if known is None or error.errno not in IN_PLACE_ALONE:
            raise


def _try_file_in(folder: Path) -> None:
    """Write a file without a name, so that the system tells what it would refuse: rights, a full disk."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"0")
        file.flush()


def _write_new(part: Path, content: bytes) -> None:
    with _open_new(part) as file:
        file.write(content)


def _open_new(part: Path) -> BinaryIO:
    number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(number, "wb")


def _error(path: Path, error: OSError | ValueError) -> OutputError:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"cannot write {path}: {said}; mend that, or name another file")
