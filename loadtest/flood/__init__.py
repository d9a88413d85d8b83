"""A flood of a real backend: run it, watch it, inject faults, and balance the counters at its end.

``run`` is the entrance and reads as a timetable; ``outcome`` is what comes out.
"""
