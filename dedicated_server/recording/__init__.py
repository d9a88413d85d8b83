"""Recordings of matches.

The file, the recorder that writes it in the tick, the replay that plays it again.
"""
