"""``environments``: what the machine gives is varied; `launchday` must end well, or with one line that says
what to type.

``harness`` has the table of parts and what a case is, ``isolated`` plays each case in processes of its own,
``spaces`` and ``commands`` run commands in namespaces and with limits. The cases: ``machine`` varies what a
machine is, ``figures`` measures what a fault of one kind costs.
"""
