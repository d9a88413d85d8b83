"""The ground under all compiled code.

Numba's flags, memory that kernels read fast, and the C libraries that they call.
"""
