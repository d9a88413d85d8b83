"""A topic's log as one that may be cut, truncated, deleted and made anew while it is read."""
