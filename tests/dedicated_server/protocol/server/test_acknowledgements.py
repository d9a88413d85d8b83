"""Which snapshots an acknowledgement makes baselines of, against a plain reckoning of what was sent and is
still kept.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.fields import HISTORY_TICKS
from dedicated_server.protocol.server.state import BASELINE
from tests.dedicated_server.protocol.oracle import Input, OracleClient, write_message
from tests.dedicated_server.protocol.rig import Table, token

# Ticks until the next snapshot, how old the newest one acknowledged is then, and which of the 32 before it
# came too.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, 3, 31, 63, 64, 65]), st.integers(0, 70), st.integers(0, 2**32 - 1)
    ),
    max_size=60,
)


@given(STEPS)
@settings(deadline=None, max_examples=60)
def test_just_the_snapshots_that_a_client_says_it_has_become_baselines(
    steps: list[tuple[int, int, int]],
) -> None:
    table = Table(1, join=False)
    client = OracleClient(token())
    table.say(0, client.request())
    [(_, challenge)] = table.serve()
    table.say(0, client.respond(challenge))
    kept: dict[int, int] = {}
    holding: set[int] = set()  # the ticks whose snapshots had a record in them
    baseline = 0
    for number, (passed, age, bits) in enumerate(steps):
        table.tick += passed - 1
        table.serve()
        kept[table.tick % HISTORY_TICKS] = table.tick
        holding.add(table.tick)
        ack = max(table.tick - age, 0)
        claimed = [ack, *(ack - 1 - bit for bit in range(32) if bits >> bit & 1)]
        has = {tick for tick in claimed if tick > 0 and kept.get(tick % HISTORY_TICKS) == tick}
        baseline = max([baseline, *(has & holding)])
        table.say(0, client.seal(write_message(ack, bits, 0, number + 1, [Input(0, 0, 0, 0, 0)])))
        wire = table.wire
        table.tick += 1
        table.serve(selected=[[]])  # takes it in, and sends a snapshot without records
        kept[table.tick % HISTORY_TICKS] = table.tick
        assert wire.state.views[BASELINE, 0, 0] == baseline
    assert sum(table.wire.drops_by_reason().values()) == 0
