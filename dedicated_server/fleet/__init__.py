"""The fleet: a warm pool of forked game servers, behind Agones' interfaces, with an admin API.

``pool`` has the servers and their states, ``warm`` the parents that fork them, ``agones`` the sidecar and the
allocator, ``autoscaling`` the policies, ``admin`` the API of operators and what runs beside it, ``console``
the web page. ``app`` is the process, ``client`` how others reach it.
"""
