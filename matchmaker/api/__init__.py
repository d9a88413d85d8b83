"""The tickets API: HTTP in front, the queue behind."""
