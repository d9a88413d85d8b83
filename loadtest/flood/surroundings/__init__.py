"""What surrounds the players of a run: our own backend with everything that watches it, or a target of
somebody else's.

``base`` says what a run needs of its surroundings, and has what every run has.
"""
