"""The client's end of the wire: sessions, prediction, interpolation, for many clients in one process."""
