"""A flood in parts: the players of one scenario dealt to several generators, and added up again."""
