"""The cases, in the order in which they run."""

from __future__ import annotations

from loadtest.bench.paths.cases import fleet_1to1, ipv6_only, nat_1to1, nat_forgets, thin_tbf, wifi_to_mobile

ALL = (nat_1to1.CASE, ipv6_only.CASE, nat_forgets.CASE, wifi_to_mobile.CASE, thin_tbf.CASE, fleet_1to1.CASE)
CASES = {case.name: case for case in ALL}
