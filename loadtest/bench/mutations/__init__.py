"""What nobody should send: mutated datagrams of every kind, and first datagrams under another's address."""
