"""The control of services' benchmarks: a route that does nothing, on the same server, asked in turns with the
service.
"""
