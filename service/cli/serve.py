"""`emma serve`."""

from __future__ import annotations

import signal

import uvicorn

from service.app import create_app
from service.cli.options import with_settings
from service.errors import StartupError
from service.extraction import Model
from service.garbage import collect_rarely
from service.logs import configure_logs, log_startup_failure
from service.settings import Settings
from service.state import State


@with_settings()
def serve(settings: Settings) -> None:
    """Serve over HTTP until the process is told to stop."""
    start(settings)


def start(settings: Settings, model: Model | None = None) -> None:
    """Open everything, then answer requests until a signal, then finish those that are being answered.

    Args:
        settings: of the process.
        model: in place of the bundle that the settings name.

    Raises:
        SystemExit: the service cannot start; the log says why.
    """
    configure_logs(settings.log_level, settings.log_format)
    try:
        state = State.open(settings, model)
    except StartupError as error:
        log_startup_failure(error)
        raise SystemExit(1) from None
    config = uvicorn.Config(
        create_app(state=state),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        # No request takes longer than the deadline, so no more patience than that is needed.
        timeout_graceful_shutdown=int(settings.deadline_seconds) + 1,
    )
    # After the application is made and the index filled: neither goes before the process ends.
    collect_rarely()
    if (keys := state.keys) is not None:
        # A key that is to be refused from now on is no reason to stop answering the others.
        signal.signal(signal.SIGHUP, lambda *_: keys.reread())
    try:
        uvicorn.Server(config).run()
    finally:
        state.close()
