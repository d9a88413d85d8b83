"""What asyncpg raises, by what it says about the store."""

from __future__ import annotations

import asyncpg

# Another transaction won. A single PostgreSQL raises them rarely, as we lock in one order; distributed ones
# do so by design.
SERIALIZATION_ERRORS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

# The store is unreachable, stopping, full or read-only, or was too slow for us. A wrong statement is a fault
# of ours and not among these.
UNREACHABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is cut off in the middle of a statement
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # ALLOW_CONNECTIONS false
    asyncpg.ReadOnlySQLTransactionError,
    # A pooler in transaction mode that we were not told of: `launchday.resilience.store_address.explained`.
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)

# Whatever asyncpg raises for statements that are known to be right: refused, cut off, shutting down,
# read-only, not migrated yet. InternalClientError too: a connection that is cut in the middle of a
# statement raises it when its transaction ends.
UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
