"""What the benchmarks share: two processes on cores of their own, clients, the floor, figures."""
