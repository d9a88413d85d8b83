"""From the rules of a rule set to a draft of its plan: what each measures, becomes and is tested as, and from
which lists seats are filled. ``compile`` makes the plan of it.
"""
