"""The director: leads a queue, forms its matches, finds their servers, and requeues lost ones."""
