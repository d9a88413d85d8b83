"""The consumer: applies each event once to PostgreSQL, and publishes the outcome to the cache and Kafka."""
