"""Starts a whole backend on this machine (``backend``), does something with it, and takes it down again
(``lifecycle``).
"""
