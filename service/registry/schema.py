"""The schema: made where there is none, checked where there is one, changed only when told to."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DatabaseError

from service.errors import StartupError
from service.registry.database import BUSY_MILLISECONDS, connect, reason
from service.registry.location import advice, described, is_shared

# Any number will do that nothing else in the database takes; this is "EMMA".
_ADVISORY_LOCK = 0x454D4D41


def prepare(connection: Connection) -> None:
    """Make the tables of a registry that is new, and refuse one of another schema.

    A new registry has nothing to lose, so whichever process comes first makes it. An old one is left alone: other
    processes may be using it, and its owner may want a backup first.

    Raises:
        StartupError: the schema is older or newer; the message names both and the command.
    """
    found = _locked_revision(connection)
    if found is None:
        migrate(connection)
    else:
        _require_head(connection.engine.url, found)


def require_current(connection: Connection) -> None:
    """Check that the registry has this release's schema.

    Raises:
        StartupError: there is no registry, or its schema is older or newer.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise StartupError(
            f"the registry {described(connection.engine.url)} is empty: `emma serve` or `emma db upgrade` makes it"
        )
    _require_head(connection.engine.url, found)


def upgrade(url: URL) -> tuple[str | None, str]:
    """Bring a registry to this release's schema, in one transaction; (schema before, schema after).

    Raises:
        StartupError: it cannot be opened, is of a newer release, or its tables are in use for too long.
    """
    engine = connect(url)
    try:
        with engine.begin() as connection:
            found = _locked_revision(connection)
            _require_known(url, found)
            if is_shared(url):
                # Who waits for a table keeps everybody behind it waiting, too.
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {BUSY_MILLISECONDS}")
            migrate(connection)
    except DatabaseError as error:
        raise StartupError(f"cannot upgrade the registry {described(url)}: {reason(error)}; {advice(url)}") from error
    finally:
        engine.dispose()
    return found, head()


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision of the schema, without a commit."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def head() -> str:
    """The schema of this release."""
    return str(_scripts().get_current_head())


def _locked_revision(connection: Connection) -> str | None:
    if is_shared(connection.engine.url):
        # Of the transaction, not of the session, which a pooler may share out.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
    return MigrationContext.configure(connection).get_current_revision()


def _require_head(url: URL, found: str) -> None:
    _require_known(url, found)
    if found != head():
        raise StartupError(
            f"the registry {described(url)} has schema {found}, this release needs {head()}: make a backup, then run "
            "`emma db upgrade`"
        )


def _require_known(url: URL, found: str | None) -> None:
    if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise StartupError(
            f"the registry {described(url)} was written by a newer release of EMMA (schema {found}, this release has "
            f"{head()}): use that release; `emma db upgrade` cannot go back"
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "service.registry:migrations")
    config.set_main_option("path_separator", "os")
    return config
