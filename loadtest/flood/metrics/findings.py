"""What the metrics of a target's processes say about what broke: the first time of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadtest.flood.metrics.history import MetricsHistory

WHOLE_CORE = 0.95  # of a process that has one thread for its work, more is not to be had
NEAR_MAX_FDS = 0.9
CPU = "process_cpu_seconds_total"
OPEN_FDS = "process_open_fds"
MAX_FDS = "process_max_fds"


def find_in_metrics(histories: Sequence[MetricsHistory]) -> Iterator[tuple[float, str]]:
    """Seconds of the run and words of each kind of thing that went wrong in a process."""
    for history in histories:
        yield from _silences(history)
        if history.restarts_s:
            times = f"; {len(history.restarts_s)} times" if len(history.restarts_s) > 1 else ""
            yield history.restarts_s[0], f"the process at {history.address} was started again{times}"
        for name, growth in history.errors.items():
            yield growth.since_s, f"{name} of {history.address} began to grow; by {growth.count:,g} in all"
        yield from _whole_core(history)
        yield from _descriptors(history)


def _silences(history: MetricsHistory) -> Iterator[tuple[float, str]]:
    if history.gaps:
        yield (
            history.at_s[history.answered.index(False)],
            f"{history.address} did not tell its metrics; {history.gaps} of {len(history.at_s)} times",
        )


def _whole_core(history: MetricsHistory) -> Iterator[tuple[float, str]]:
    busy = _over(history.at_s, history.curve(CPU, "rate"), WHOLE_CORE)
    if busy:
        at_s, cores = busy[0]
        yield at_s, f"the process at {history.address} used {cores:.2f} cores; in {len(busy)} samples"


def _descriptors(history: MetricsHistory) -> Iterator[tuple[float, str]]:
    allowed = next((value for value in history.curve(MAX_FDS, "gauge") if value), None)
    if allowed is None:
        return
    near = _over(history.at_s, history.curve(OPEN_FDS, "gauge"), NEAR_MAX_FDS * allowed)
    if near:
        at_s, used = near[0]
        yield at_s, f"the process at {history.address} had {used:,.0f} of its {allowed:,.0f} descriptors open"


def _over(at_s: Sequence[float], values: Sequence[float | None], limit: float) -> list[tuple[float, float]]:
    return [
        (when_s, value)
        for when_s, value in zip(at_s, values, strict=False)
        if value is not None and value >= limit
    ]
