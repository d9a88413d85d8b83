"""The metrics of a target's processes: Prometheus text, sampled each second beside a flood."""
