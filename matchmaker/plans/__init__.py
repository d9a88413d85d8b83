"""Rule sets compiled to plans, and the greedy matching over them: any rule set at nearly the fast kernel's
speed.
"""
