"""A mapped file has all of its room before it is mapped, or is refused by an error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchday.mapped_files import map_allocated

LENGTH = 10_000


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def test_a_mapped_file_has_no_holes(descriptor: int) -> None:
    with map_allocated(descriptor, LENGTH) as memory:
        assert bytes(memory) == bytes(LENGTH)
        assert os.fstat(descriptor).st_blocks * 512 >= LENGTH


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_where_a_file_system_cannot_reserve_every_byte_is_written(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with map_allocated(descriptor, LENGTH) as memory:
        assert len(memory) == LENGTH
        assert os.fstat(descriptor).st_blocks * 512 >= LENGTH
    os.ftruncate(descriptor, 0)
    room = [4096, 100]
    monkeypatch.setattr(os, "pwrite", lambda *_: room.pop(0) if room else 0)
    with pytest.raises(OSError, match="No space"):
        map_allocated(descriptor, LENGTH)


def test_no_room_is_an_error_and_no_signal(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        map_allocated(descriptor, LENGTH)
