"""What the reader of scenario files is made of: where things stand in a file, what is wrong in plain words,
and stand-ins for what is wrong, so that one mistake does not hide another.
"""
