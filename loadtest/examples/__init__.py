"""Two backends that are not ours, small enough to read, and the targets that flood them.

``plain_matchmaker`` is a matchmaker over plain HTTP, and ``plain_target`` its target. ``open_match_stub``
answers as Open Match's HTTP frontend does, and ``open_match_target`` floods either. The guide that walks
through them is docs/your-own-backend.md.
"""
