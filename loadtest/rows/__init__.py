"""A row a ticket, match and sample of a run, as tables and as Parquet files, alike for both worlds."""
