"""Kill -9 parts of the backend under load, again and again, and check that nothing was lost: ``launchday
chaos``.
"""
