"""The fleet's web page: a process of its own that knows no more than the admin API tells, so that drawing a page never holds up an allocation.

``launching`` is the fleet's end of it; the rest runs in the page's process, which starts when somebody first asks for the page.
"""
