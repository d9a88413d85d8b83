"""What a run sees of its backend and its players while they play: counters, events, samples, progress."""
