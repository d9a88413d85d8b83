"""The global store's schema, one step a file, in the order of their names."""
