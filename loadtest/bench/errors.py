"""What can go wrong in a benchmark.

BenchError
└── PlatformError
"""

from __future__ import annotations

from loadtest.errors import LoadTestError


class BenchError(LoadTestError):
    """Raised when a benchmark cannot be run to its end; the message says which process said what."""


class PlatformError(BenchError):
    """Raised where the floor cannot be measured: it needs ``recvmmsg`` and ``sendmmsg`` of 64-bit Linux."""
