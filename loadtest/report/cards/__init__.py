"""Cards of the report that are more than a table or one figure: what is drawn, and what is said of it."""
