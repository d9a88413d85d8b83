"""Reads a rule set and finds every mistake in it at once: ``rule_sets`` the whole, ``rules`` its rules a type
at a time, ``statements`` those of compound rules, ``expansions`` what widens.
"""

from __future__ import annotations

from matchmaker.rules.flexmatch.reading.rule_sets import read_rule_set

__all__ = ["read_rule_set"]
