"""What breaks in virtual time: game servers that die, regions that are cut off, and what their players do."""
