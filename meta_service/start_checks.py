"""What a process of the meta service asks before it starts: whether the store's schema is new enough, and the
table of seasons makes sense.

On an older one it would answer 500 request by request, and the worker would wait for ever. A store that does
not answer is no reason to stay down: the service starts without it, and ``/readyz`` says so.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

from launchday.seasons import Seasons, SeasonsError, load
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import schema_fault

log = structlog.get_logger()


def check_schema(store_url: str) -> None:
    """End this process with one line where the store's schema is older than the code.

    Call it in ``__main__``, before the service's event loop.

    Args:
        store_url: postgresql://… address.

    Raises:
        SystemExit: with the line to type.
    """
    try:
        fault = asyncio.run(schema_fault(store_url))
    except UNAVAILABLE_ERRORS as away:
        log.warning("the store does not answer yet: its schema is not checked", reason=repr(away))
        return
    if fault is not None:
        sys.exit(f"error: {fault}")


def check_seasons(path: str) -> Seasons:
    """Return the table of seasons; end this process with a line for each mistake where it cannot be used.

    Args:
        path: of the table; empty: the shipped one.

    Raises:
        SystemExit: with the lines.
    """
    try:
        return load(path)
    except SeasonsError as error:
        sys.exit("\n".join(f"error: {line}" for line in str(error).splitlines()))
