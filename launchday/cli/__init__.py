"""The command line: ``launchday run``, ``up``, ``flood``, ``simulate`` and the others. Nothing in the tree
imports it.
"""
