"""The clocks of several machines: how far they are apart, and one time for what their processes share."""
