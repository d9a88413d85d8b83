"""The matchmaker's own errors; ``matchmaker`` draws them as a tree."""

from __future__ import annotations


class MatchmakerError(Exception):
    """Base of the matchmaker's own errors."""


class LeaseLostError(MatchmakerError):
    """Raised when a director writes with a fencing token that is no longer the queue's. It drops all it
    holds.
    """


class QueueWentBackError(LeaseLostError):
    """Raised when the cache lacks what a director did with its queue: a replica took over that did not have
    it. The director drops all it holds, and begins anew from what is there.
    """


class SkillsUnavailableError(MatchmakerError):
    """Raised when the meta service does not give the players' skills. Nothing was queued; the caller may
    repeat.
    """


class SkillsRefusedError(SkillsUnavailableError):
    """Raised when the meta service refuses a player of those asked for, or the only one. Ask for fewer."""


class WriterFullError(SkillsUnavailableError):
    """Raised when as many tickets wait to be written as may. Nothing was queued; the caller may repeat."""


class RuleSetsError(MatchmakerError):
    """Raised when LAUNCHDAY_RULE_SETS or a file that it names cannot be used; the text has a line for each
    mistake.
    """
