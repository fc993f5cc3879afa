"""The way into serving: bind, then one process or several, and an exit status. What happens in one is in `process`."""

import logging
from collections.abc import Callable

from imgserve.errors import ConfigError
from imgserve.web.gate import Timeouts
from imgserve.web.listener import address_of, bind, unbind
from imgserve.web.process import FAILED, AppFactory, ServerOptions, log_to_stderr, serve
from imgserve.web.supervisor import Supervisor

__all__ = ["AppFactory", "ServerOptions", "Timeouts", "run"]

_log = logging.getLogger(__name__)


def run(app_factory: AppFactory, options: ServerOptions, on_listening: Callable[[str], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0 after an end in good order, 1 if it could not start.

    Logs `listening on <URL>` once, as soon as connections are served, and calls `on_listening` with that URL. With
    several workers the factory runs in each of them, and is the place to set up their logging.
    """
    log_to_stderr()
    try:
        sockets = bind(options.host, options.port, options.uds)
    except ConfigError as error:
        _log.error("%s", error)
        return FAILED
    address = address_of(sockets, options.host)

    def announce() -> None:
        _log.info("listening on %s", address)
        if on_listening is not None:
            on_listening(address)

    try:
        if options.workers == 1:
            return serve(app_factory, options, sockets, on_ready=announce)
        return Supervisor(app_factory, options, sockets, announce).run()
    finally:
        unbind(sockets, options.uds)
