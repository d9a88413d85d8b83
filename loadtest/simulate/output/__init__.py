"""What simulate and sweep print while they run and at their end, and the rows that they write."""
