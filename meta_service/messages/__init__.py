"""The bodies of requests and answers: one schema for the routes, which check them, and for the client."""
