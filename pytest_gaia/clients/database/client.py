"""The database client: one transaction for each test on a shared connection, read-only unless writes are permitted."""

import contextlib
from collections.abc import AsyncIterator, Callable

from pytest_gaia.clients.database._connection import Connection, StatementLog
from pytest_gaia.clients.database.sessions import ReadOnlySession, Session, WritingSession, rolled_back
from pytest_gaia.clients.exchanges import Statement, unrecorded
from pytest_gaia.clients.guard import WriteGuard
from pytest_gaia.clients.known_secrets import redactor_of
from pytest_gaia.clients.reasons import absent, hide
from pytest_gaia.config.environment import Environment
from pytest_gaia.errors import NotApplicable, WriteRefused
from pytest_gaia.secrets.redaction import Redactor

__tracebackhide__ = hide


class Database:
    """A PostgreSQL database of an environment. The connection is opened by the first statement."""

    def __init__(
        self,
        environment: Environment,
        service: str,
        guard: WriteGuard,
        recorder: Callable[[Statement], None] = unrecorded,
        redactor: Redactor | None = None,
    ) -> None:
        reason = absent(environment, service)
        if reason is not None:
            raise NotApplicable(reason)
        self._environment = environment
        self._service = service
        self._guard = guard
        self._log = StatementLog(recorder, redactor or redactor_of(environment))
        self._timeouts = environment.timeouts_of(service)
        self._connection = self._to(environment.url_of(service) or "", source_of(environment, service), True)
        self._trusted = False

    def _to(self, dsn: str, source: str, prepares: bool = False) -> Connection:
        prepares = prepares and self._environment.sandbox and self._environment.writes
        return Connection(dsn, self._timeouts, self._service, source=source, log=self._log, prepares=prepares)

    @contextlib.asynccontextmanager
    async def test_transaction(self) -> AsyncIterator[Session]:
        """Yield the session of one test.

        If writes are permitted, the session reads and writes in one transaction that is rolled back at the end. Writes
        are permitted for every test in the sandbox. Elsewhere they need the marker and an environment that permits
        writes; other tests get a read-only session.

        Raises ``Unreachable``, and ``WriteRefused`` if the environment forbids writes and the role has write grants.
        """
        if not self._may_write():
            yield await self._reading()
            return
        fixture = self._environment.platform[self._service].identifier
        async with rolled_back(self._connection, self._timeouts, f"{fixture}_fresh") as session:
            yield session

    @contextlib.asynccontextmanager
    async def fresh(self, dsn: str) -> AsyncIterator[Session]:
        """Yield a session on a database of its own, where each statement commits."""
        connection = self._to(dsn, "the sandbox")
        session = WritingSession(connection, depth=0)
        try:
            async with connection.exclusive(begins=True):
                pass
            yield session
        finally:
            session.end()
            await connection.aclose()

    async def aclose(self) -> None:
        """Close the connection within a few seconds."""
        await self._connection.aclose()

    def _may_write(self) -> bool:
        return self._guard.open or (self._environment.sandbox and self._environment.writes)

    async def _reading(self) -> ReadOnlySession:
        session = ReadOnlySession(self._connection, self._guard, self._timeouts)
        # The sandbox belongs to this run, so its role may have write grants.
        if not (self._trusted or self._environment.writes or self._environment.sandbox):
            await require_read_only_role(session, self._environment, self._service)
            self._trusted = True
        return session

    def __repr__(self) -> str:
        return f"<Database {self._service} of {self._environment.name}>"


_LISTED = 12

# A role has the privileges of every role that it is a member of, inherited or after SET ROLE.
_GRANTS = """
WITH able AS (
    SELECT oid, rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')
), attributes AS (
    SELECT CASE WHEN r.rolname = current_user THEN 1 ELSE 2 END AS rank,
           format('role %I is %s', r.rolname, a.name) AS grant_text
    FROM able JOIN pg_roles r USING (oid),
         LATERAL (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                         ('REPLICATION', r.rolreplication)) AS a(name, held)
    WHERE a.held
), powers AS (
    SELECT 3, format('member of %I', rolname)
    FROM able
    WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend',
                      'pg_create_subscription')
), relations AS (
    SELECT 4, format('%s on %I.%I', string_agg(DISTINCT p.name, ', ' ORDER BY p.name), n.nspname, c.relname)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace,
         LATERAL (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('OWNERSHIP')) AS p(name)
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
      AND EXISTS (
          SELECT FROM able
          WHERE CASE WHEN p.name = 'OWNERSHIP' THEN c.relowner = able.oid
                     WHEN p.name IN ('INSERT', 'UPDATE') THEN has_any_column_privilege(able.oid, c.oid, p.name)
                     ELSE has_table_privilege(able.oid, c.oid, p.name) END)
    GROUP BY n.nspname, c.relname
), sequences AS (
    SELECT 5, format('UPDATE on sequence %I.%I', n.nspname, c.relname)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND EXISTS (SELECT FROM able WHERE has_sequence_privilege(able.oid, c.oid, 'UPDATE, USAGE'))
), containers AS (
    SELECT 6, format('CREATE in schema %I', nspname)
    FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND EXISTS (SELECT FROM able WHERE has_schema_privilege(able.oid, pg_namespace.oid, 'CREATE'))
    UNION ALL
    SELECT 6, format('CREATE in database %I', current_database())
    WHERE EXISTS (SELECT FROM able WHERE has_database_privilege(able.oid, current_database(), 'CREATE'))
)
SELECT grant_text FROM (
    TABLE attributes UNION ALL TABLE powers UNION ALL TABLE relations UNION ALL TABLE sequences UNION ALL TABLE containers
) AS every
ORDER BY rank, grant_text
"""


async def write_grants(session: Session) -> tuple[str, ...]:
    """Return the write grants of the session's role as text; empty for a read-only role."""
    return tuple(row["grant_text"] for row in await session.fetch(_GRANTS))


async def require_read_only_role(session: Session, environment: Environment, service: str) -> None:
    """Raise ``WriteRefused`` if the role may write. The message lists the grants and the SQL for a read-only role."""
    grants = await write_grants(session)
    if not grants:
        return
    role, database = await _who(session)
    shown = "\n".join(f"  {grant}" for grant in grants[:_LISTED])
    more = f"\n  … and {len(grants) - _LISTED} more" if len(grants) > _LISTED else ""
    raise WriteRefused(
        f"refused to use {service} of {environment.label}: the role {role} can write, but {environment.name} forbids "
        f"writes (writes = false).\nWrite grants of the role:\n{shown}{more}\n"
        f"Use a read-only role in the DSN (source: {source_of(environment, service)}):\n{recipe(database)}"
    )


def source_of(environment: Environment, service: str) -> str:
    """Return the source of the DSN of ``service``."""
    return environment.sources.get(f"urls.{service}", "the configuration")


def recipe(database: str, role: str = "gaia_readonly", schema: str = "public") -> str:
    """Return the SQL that creates a role for :func:`require_read_only_role`."""
    lines = (
        f"CREATE ROLE {role} LOGIN PASSWORD '…'",
        f'GRANT CONNECT ON DATABASE "{database}" TO {role}',
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        f"ALTER ROLE {role} SET default_transaction_read_only = on",
        f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",
    )
    return "\n".join(f"  {line};" for line in lines)


async def _who(session: Session) -> tuple[str, str]:
    row = await session.fetchrow("SELECT current_user AS role, current_database() AS database")
    return (row["role"], row["database"]) if row else ("unknown", "unknown")
