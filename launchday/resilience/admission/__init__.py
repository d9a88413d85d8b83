"""Admission: who is let in, who waits and who is refused, before a request is parsed.

``classes`` says which requests share a limit, ``gate`` keeps the counts and the lines, ``protocol`` is its
end at a connection. ``request_bytes`` reads what it must of unparsed bytes, ``waiting_line`` is the line of
those who wait, ``refusals`` are the constant answers, ``metrics`` what Prometheus sees.
"""
