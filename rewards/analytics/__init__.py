"""Analytics: every event once in Parquet files, by day and kind, and questions about them.

The writer is a consumer group of its own; nothing of the backend waits for it. What it writes is for reading with anything that reads
Parquet; ``launchday events query`` uses DuckDB.
"""
