"""``bench paths``: each case's fault, planted, is noticed; and what it says where it cannot run."""

from __future__ import annotations

import pytest

from loadtest.bench import paths
from loadtest.bench.options import Options
from loadtest.bench.paths.cases import CASES
from loadtest.errors import BenchError
from tests.optional import needs

SECONDS = 3.0
FAULTS = [(name, fault) for name, case in CASES.items() for fault in case.faults]

pytestmark = pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are


@needs("namespaces")
@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_that_is_planted_is_noticed(name: str, fault: str) -> None:
    (found,) = paths.run(Options(only=(name,), seconds=SECONDS), fault)

    assert not found["passed"]
    assert found["missed"]


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "loadtest.bench.harness.own_network.shutil.which",
        lambda name, path: None if name == "tc" else f"{path}/{name}",
    )
    with pytest.raises(BenchError, match="paths needs tc: install iproute2"):
        next(paths.run(Options()))


def test_a_case_that_there_is_not_is_refused_before_anything_starts() -> None:
    with pytest.raises(BenchError, match=f"this part has {', '.join(CASES)}"):
        next(paths.run(Options(only=("carrier_pigeon",))))
