"""The cases, in the order in which they run."""

from __future__ import annotations

from loadtest.bench.paths.cases import ipv6_only, nat_1to1, nat_forgets, wifi_to_mobile

CASES = {case.name: case for case in (nat_1to1.CASE, ipv6_only.CASE, nat_forgets.CASE, wifi_to_mobile.CASE)}
