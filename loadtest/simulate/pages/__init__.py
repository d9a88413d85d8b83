"""The HTML pages of the simulator: of a run, a sweep, an agreement with a flood, and the convergence of
ratings.
"""
