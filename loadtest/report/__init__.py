"""What is made of an outcome: HTML page, JSON, CSV, summary in the terminal, comparison of two runs.

``html`` and ``chart_style`` are the pieces that the simulator's pages use as well.
"""
