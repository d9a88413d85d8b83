"""Events, and the service that turns each of them once into experience, levels, ratings and statistics."""
