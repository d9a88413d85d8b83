"""The logs of every service: structured, one event a line, readable by default and JSON on request."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog

from launchday.escapes import escaped
from launchday.settings import Settings


def configure(service: str, settings: Settings) -> None:
    """Send this process's logs to standard error, each line with the service's name.

    The standard library's logs, of whatever library, go the same way from level WARNING on.

    Args:
        service: the name.
        settings: ``log_level`` and ``log_json`` decide what is printed, and how.
    """
    level = logging.getLevelNamesMapping().get(settings.log_level.upper(), logging.INFO)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_json else _Lines()
    )
    output = _Output(sys.stderr)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer]
        if settings.log_json
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, output)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[_drop_meta, renderer]
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries speak up only when something is wrong


class _Lines:
    """Shows an event as a line, in which a name of somebody's can do nothing to the terminal."""

    def __init__(self) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=False,
            exception_formatter=structlog.dev.plain_traceback,  # rich's shows variables: tokens among them
        )

    def __call__(
        self, logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
    ) -> str:
        """Show it: its text is one line; those of a traceback stay."""
        event["event"] = escaped(str(event.get("event", "")))
        return escaped(self._render(logger, name, event), lines=True)


class _Output:
    """A stream whose faults cost lines of the log and nothing else: a full disk ends no match.

    Attributes:
        lost: writes that the stream refused.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def write(self, text: str) -> int:
        """Write, or count what was lost."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        """Flush, or count what was lost."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1


def request_id() -> str:
    """Return the id of the request that is being served; empty outside of a request."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def _drop_meta(
    _logger: structlog.typing.WrappedLogger, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(_logger, _name, event)
