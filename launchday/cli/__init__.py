"""The command line: ``launchday run``, ``flood``, ``simulate`` and the others.

It is the roof of the tree: nothing imports it.
"""
