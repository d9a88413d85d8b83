"""The fleet: a warm pool of forked game servers, the Agones SDK and allocator they are used through, and its admin API."""
