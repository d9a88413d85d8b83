"""What a process of the meta service asks of the store before it starts: whether the schema is new enough.

On an older one it would answer 500 request by request, and the worker would wait for ever. A store that does
not answer is no reason to stay down: the service starts without it, and ``/readyz`` says so.
"""

from __future__ import annotations

import asyncio
import sys

import structlog

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
