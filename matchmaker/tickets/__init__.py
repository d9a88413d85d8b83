"""A ticket's own form, between the request that asks for it and the pool that matches it."""
