"""How the wire's kernels are compiled, beyond what every kernel is.

Without numba's reference counting (``_nrt``) an array costs nothing to look at; with it, every function
that is handed the state counts 23 arrays up and down: 146 µs instead of 50 for opening 100 datagrams. It
also means that none of these kernels can allocate: one that tried would not compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    _Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

    def njit(*, cache: bool, nogil: bool, **options: Any) -> Callable[[_Kernel], _Kernel]:
        """Numba's, which carries no types and would make every call untyped."""
else:
    from numba import njit as njit

# Called from Python, and from other compiled code.
STAGE: Final[dict[str, Any]] = {"_nrt": False}

# Called from kernels alone. Inlined: passing the state passes 170 words (encode_batch: 1,600 µs without,
# 130 with); and without the wrappers for other callers, which take a quarter of the time to compile.
INNER: Final[dict[str, Any]] = {
    "_nrt": False,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
