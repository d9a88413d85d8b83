"""The thread that reports of a match are made in, while the thread that ticks goes on."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from dedicated_server.match.report import ReportDraft


class ReportThread:
    """Finishes reports one after the other. A context manager; the thread begins with the first one."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="report")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False)  # it has nothing left to do: see `as_json`

    async def as_json(self, draft: ReportDraft, session: dict[str, Any]) -> str:
        """Return the report of a draft, and what its session adds, as JSON.

        Where it is cancelled, the thread has finished with the draft before the error goes on.
        """
        made = asyncio.get_running_loop().run_in_executor(self._thread, _as_json, draft, session)
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            await asyncio.wait([made])
            raise


def _as_json(draft: ReportDraft, session: dict[str, Any]) -> str:
    return json.dumps({**draft.finish(), **session})
