"""Analytics: every event once in Parquet files, by day and kind, and questions about them.

The writer is a consumer group of its own; nothing of the backend waits for it. Any program that reads Parquet
can read what it writes; ``launchday events query`` uses DuckDB.
"""
