"""The page for operators lists the rights that programs have here, and a right's line is Kafka's."""

from __future__ import annotations

import pytest

from launchday.resilience.bus import Bus
from rewards.events.rights import RIGHTS, SERVICES, Right, acl_line
from tests.walks import ROOT


@pytest.mark.parametrize("program", RIGHTS)
def test_the_page_lists_a_programs_rights(program: str) -> None:
    said = "; ".join(
        f"{right.resource} `{right.suffix}`: {', '.join(right.operations)}" for right in RIGHTS[program]
    )
    assert f"| {program} | {said} |" in (ROOT / "docs" / "operating.md").read_text()


def test_a_rights_line_is_one_of_kafkas_own_tools() -> None:
    bus = Bus("kafka-1:9092", security="sasl_ssl", user="rewards")
    assert set(SERVICES) <= RIGHTS.keys()
    assert acl_line(Right("group", "rewards", ("Read",)), "Read", "launchday", bus) == (
        "kafka-acls.sh --bootstrap-server kafka-1:9092 --command-config admin.properties --add "
        "--allow-principal User:rewards --operation Read --group launchday.rewards"
    )
