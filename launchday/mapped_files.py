"""Files that are mapped into memory: all of their room is had before they are.

A file that was only given its length has holes. The first write to a page for which there is no room then is
SIGBUS, and the end of the process, where a call would have been an error that one can answer.
"""

from __future__ import annotations

import errno
import mmap
import os
from typing import Final

NOT_SUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # posix_fallocate(3)
PAGE: Final = bytes(mmap.PAGESIZE)


def map_allocated(descriptor: int, length: int) -> mmap.mmap:
    """Give an empty file its length and all of its room, and map it to read and write.

    Raises OSError where there is no room (ENOSPC, EDQUOT), or where its file system maps nothing.

    Args:
        descriptor: of the file, open to read and write; it may be closed afterwards.
        length: in bytes, at least one.
    """
    allocate(descriptor, length)
    return mmap.mmap(descriptor, length)


def allocate(descriptor: int, length: int) -> None:
    """Give an empty file its length and all of its room, zeros. Raises OSError."""
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED or length < 1:
            raise
        _write_zeros(descriptor, length)


def _write_zeros(descriptor: int, length: int) -> None:
    """What is left where a file system cannot reserve: to write every byte."""
    at = 0
    while at < length:
        written = os.pwrite(descriptor, PAGE[: length - at], at)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        at += written
