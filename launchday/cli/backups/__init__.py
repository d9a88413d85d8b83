"""``launchday backup`` and ``launchday restore``: a backend's state in one folder, and back.

    manifest.json     what is in it, of when, made by what; the digest of every file
    store.dump        the store at one moment, as pg_dump writes it (custom format)
    changes.jsonl     changes that players were told are done and that waited in the caches for the store
    rejected.jsonl    changes that the store could not take, with the reasons
    analytics/        the Parquet files and their manifest
    policies.json     what operators set for the fleet

The caches are read before the store: a change that players were told is done is then in what was read, or
it had left its cache for the store, and the store is saved later. So nothing older than the backup is
missing, and what is there twice is applied again, which changes nothing.
"""
