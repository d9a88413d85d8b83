"""The look at everything now and then, from which the curves are drawn."""

from __future__ import annotations

from numba import njit

from loadtest.simulate.world import MAX_SAMPLES, Counter, Parameters, SimulatedWorld

_SAMPLES, _EVERY = int(Counter.SAMPLES), int(Counter.SAMPLE_EVERY)
_ARRIVED_PLAYERS, _PLAYING, _ABANDONED = (
    int(Counter.ARRIVED_PLAYERS),
    int(Counter.PLAYING),
    int(Counter.ABANDONED),
)


@njit(cache=True, nogil=True)
def take_sample(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Write down how things are. Without room, every second sample goes, and they are taken half as often."""
    samples, fleet, now = world.samples, world.fleet, world.counters
    if now[_SAMPLES] == MAX_SAMPLES:
        for kept in range(MAX_SAMPLES // 2):
            _copy(world, 2 * kept, kept)
        now[_SAMPLES] = MAX_SAMPLES // 2
        now[_EVERY] *= 2
    at = now[_SAMPLES]
    now[_SAMPLES] += 1
    samples.at_s[at] = now_s
    samples.arrived[at] = now[_ARRIVED_PLAYERS]
    samples.playing[at] = now[_PLAYING]
    samples.abandoned[at] = now[_ABANDONED]
    samples.server_s[at] = fleet.server_s.sum()
    for region in range(fleet.ready.shape[0]):
        samples.waiting[at, region] = world.queue.waiting[:, region].sum()
        samples.starting[at, region] = fleet.starting[region]
        samples.ready[at, region] = fleet.ready[region]
        samples.allocated[at, region] = fleet.allocated[region]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _copy(world: SimulatedWorld, old: int, kept: int) -> None:
    samples = world.samples
    samples.at_s[kept] = samples.at_s[old]
    samples.arrived[kept] = samples.arrived[old]
    samples.playing[kept] = samples.playing[old]
    samples.abandoned[kept] = samples.abandoned[old]
    samples.server_s[kept] = samples.server_s[old]
    for region in range(samples.waiting.shape[1]):
        samples.waiting[kept, region] = samples.waiting[old, region]
        samples.starting[kept, region] = samples.starting[old, region]
        samples.ready[kept, region] = samples.ready[old, region]
        samples.allocated[kept, region] = samples.allocated[old, region]
