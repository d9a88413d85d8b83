"""Why a ticket has no match: which rule turned whom away, and the smallest change that would have matched it.

Built on the evaluator and on whole cycles with changed numbers, not on the kernels that match.
"""

from matchmaker.plans.why.queued import explain_ticket
from matchmaker.plans.why.reasons import UnknownTicketError, why
from matchmaker.plans.why.report import Why

__all__ = ["UnknownTicketError", "Why", "explain_ticket", "why"]
