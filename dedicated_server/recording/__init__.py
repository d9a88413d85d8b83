"""Recordings of matches: the file, the recorder that writes it in the tick, the replay that plays it again."""
