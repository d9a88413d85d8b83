"""The benchmark of players and money: random operations side by side, ended by an audit.

`world` starts engines and services, `random_lives` makes the operations and logs each one, `audit` compares
the log with tables, keys and answers, and `players` runs rounds of both.
"""
