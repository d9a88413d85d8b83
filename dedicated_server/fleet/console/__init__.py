"""The fleet's web page: a process of its own that knows what the admin API says and no more.

Drawing a page so never delays an allocation. ``console_process`` is the fleet's end of it; what is in here
runs in the page's process, which starts when somebody first asks for the page.
"""
