"""How the tick's kernels are compiled, beyond what every kernel is; `protocol.compilation` says why, with the numbers."""

from __future__ import annotations

from typing import Any, Final

from dedicated_server.native.compilation import INNER, STAGE

# Called from kernels and, by tests, from Python: inlined as INNER is, but with the wrapper that Python needs.
INLINE: Final[dict[str, Any]] = {**STAGE, "forceinline": True}

__all__ = ["INLINE", "INNER", "STAGE"]
