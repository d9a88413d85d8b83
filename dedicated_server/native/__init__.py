"""The ground under all compiled code: numba's flags, memory that kernels read fast, and the C libraries that they call."""
