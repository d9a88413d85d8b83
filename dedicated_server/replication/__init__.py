"""What each client is sent of the world: connections, visibility, priority, interest, records of entities."""
