"""The steps, oldest first. A step that was released is never edited, but in how long it locks what is in use:
the schema that it makes stays the same (`meta_service.store.migrations.locks`)."""
