"""The files that ``launchday mode new`` writes: a small mode that works, to be changed into another."""
