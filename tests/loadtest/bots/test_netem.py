from __future__ import annotations

import math
import re

import pytest

from loadtest.bench import simulation_checks
from loadtest.bots import netem
from loadtest.errors import BenchError, NetemUnavailableError
from loadtest.scenario.link_profiles import Burst, LinkProfile, profiles


def test_a_profile_becomes_the_arguments_of_tc() -> None:
    line = LinkProfile(
        jitter_ms=5, loss=0.01, burst=Burst(share=0.2, length=4), duplicate=0.02, up_kbit_s=800
    )
    assert " ".join(netem.qdisc(line, 60.0)) == (
        "netem limit 100000 delay 35ms 5ms distribution normal loss gemodel 6.25% 25% 100% 1% duplicate 2% "
        "rate 800kbit"
    )
    assert "distribution" not in netem.qdisc(LinkProfile(), 60.0)


def test_our_own_lines_are_measured_as_the_kernels_are() -> None:
    line = LinkProfile(jitter_ms=5, burst=Burst(share=0.1, length=4), duplicate=0.02)
    ours = netem.measure_emulator(line, 40_000, 1 / 500, seed=1)
    assert math.isclose(ours.delay_ms, 35.0, rel_tol=0.02)
    assert math.isclose(ours.lost, 0.1, rel_tol=0.15)
    assert math.isclose(ours.run, 4.0, rel_tol=0.1)
    assert math.isclose(ours.twice, 0.02, rel_tol=0.15)


def test_where_the_kernels_emulation_cannot_be_had_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1_000)
    with pytest.raises(BenchError, match="netem needs root"):
        simulation_checks.run_netem()


@pytest.mark.parametrize("name", ["wifi", "train"])
def test_the_kernels_emulation_does_to_datagrams_what_ours_does_or_says_what_it_lacks(name: str) -> None:
    profile = profiles()[name]
    if lacking := netem.why_unavailable():
        with pytest.raises(NetemUnavailableError, match=re.escape(lacking)):
            netem.compare({name: profile}, 1.0)
        return
    theirs = netem.measure_netem(profile, 4_000, 1 / 500)
    ours = netem.measure_emulator(profile, 100_000, 1 / 500, seed=1)
    share = ours.lost
    bound = 4 * math.sqrt(share * (1 - share) * 2 * profile.burst.length / 4_000)
    assert abs(theirs.lost - share) < bound
    assert abs(theirs.delay_ms - ours.delay_ms) < 0.15 * ours.delay_ms + 2.0
