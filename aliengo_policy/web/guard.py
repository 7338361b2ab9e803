"""Keeps other sites' pages away from the live view, which can move the robot.

A browser lets any page open a websocket to any address: a foreign page in the operator's browser
could drive through `ws://127.0.0.1:8080`. What it cannot do is lie about itself, so each request is
judged by what the browser says in it:

- `Host` must be an address, or a name that belongs to this server. Anything else is a foreign name
  that has been made to point here (DNS rebinding).
- `Origin`, where there is one, must be the page that this server has handed out. Programs that are
  not browsers send none; they are let in, as they could write what they like, and can publish on
  ROS's topics anyway.

Pages are sent with a policy that lets nobody embed them (clickjacking) and lets them connect to this
server only: viser's page connects wherever the address bar says, and runs what it is told there.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
import re
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import viser
import websockets.asyncio.server
from websockets.datastructures import Headers

__all__ = ["Guard", "guarded", "own_names", "refusal", "start_guarded"]

_LOG = logging.getLogger(__name__)
_LOGGED = 20
"""Refusals that are logged; a page that keeps trying must not fill the disk."""
_PATCHING = threading.Lock()
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(?::\d{1,5})?")


def own_names(bound_to: str, others: Collection[str] = ()) -> frozenset[str]:
    """Names by which browsers may call a server.

    Args:
        bound_to: Address or name that it listens on.
        others: More names, such as that of a proxy in front of it.
    """
    names = {"localhost", *others}
    if not _is_loopback(bound_to):
        host = socket.gethostname()
        names |= {bound_to, host, f"{host}.local"}
    return frozenset(name.lower() for name in names if name)


def refusal(headers: Headers, names: Collection[str]) -> str:
    """Why a request must be refused; empty if it may pass.

    Args:
        headers: Of the request.
        names: What :func:`own_names` says, in lower case.
    """
    hosts = headers.get_all("Host")
    if len(hosts) != 1:
        return f"a request needs one Host header, found {len(hosts)}"
    host = hosts[0].lower()
    match = _HOST.fullmatch(host)
    name = (match["v6"] or match["name"]) if match else ""
    if not _is_address(name) and name not in names:
        return (
            f"Host {host!r} is not a name of this server; allowed are addresses and {sorted(names)}"
        )
    origins = [origin.lower() for origin in headers.get_all("Origin")]
    allowed = (f"http://{host}", f"https://{host}")
    if any(origin not in allowed for origin in origins):
        return f"Origin {origins} is another site; allowed is {allowed[0]!r}"
    return ""


class Guard:
    """Judges the requests of one server.

    Attributes:
        installed: Whether a server has been started with it.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._logged: set[str] = set()
        self.installed = False

    def around(self, inner: Any) -> Any:
        """Wraps the `process_request` of a server."""
        self.installed = True

        async def process_request(connection: Any, request: Any) -> Any:
            reason = refusal(request.headers, self._names)
            if reason:
                self._log(reason)
                return connection.respond(HTTPStatus.FORBIDDEN, f"{reason}\n")
            response = inner(connection, request) if inner is not None else None
            if inspect.isawaitable(response):
                response = await response
            if response is not None:
                response.headers["Content-Security-Policy"] = _policy(request.headers["Host"])
            return response

        return process_request

    def _log(self, reason: str) -> None:
        if reason not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(reason)
            _LOG.warning("live view: refused: %s", reason)


@contextmanager
def guarded(names: Collection[str]) -> Iterator[Guard]:
    """Within it, viser starts its server with a guard.

    viser has no setting for this. It starts the server that it is made of with
    `websockets.asyncio.server.serve`, in a thread, and waits for it: for that time the function is
    replaced by one that adds the guard to viser's own handler. `Guard.installed` says whether a
    server was started so.
    """
    guard = Guard(names)
    serve = websockets.asyncio.server.serve

    def guarded_serve(*arguments: Any, process_request: Any = None, **options: Any) -> Any:
        return serve(*arguments, process_request=guard.around(process_request), **options)

    with _PATCHING:
        websockets.asyncio.server.serve = guarded_serve  # type: ignore[assignment,misc]
        try:
            yield guard
        finally:
            websockets.asyncio.server.serve = serve  # type: ignore[misc]


def start_guarded(names: Collection[str], host: str, **options: Any) -> viser.ViserServer:
    """Starts viser's server behind a guard.

    Args:
        names: What :func:`own_names` says.
        host: Address or name to listen on.
        options: Further ones of `viser.ViserServer`.

    Raises:
        RuntimeError: If this version of viser cannot be guarded; no server is left running.
        ValueError: If nobody can listen on `host` here.
    """
    _check_address(host)
    with guarded(names) as guard:
        server = viser.ViserServer(host=host, **options)
    if not guard.installed:
        server.stop()
        raise RuntimeError(
            f"viser {viser.__version__} does not start its server as expected, so that pages of other "
            "sites could not be kept out: install the version in requirements/sim.txt"
        )
    return server


def _check_address(host: str) -> None:
    # viser would wait for ever for its server, which could not start.
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, 0), family=family).close()
    except OSError as error:
        raise ValueError(
            f"host is {host!r}, on which this machine cannot listen ({error}); allowed is an "
            "address of this machine, or 0.0.0.0 for all of them"
        ) from error


def _policy(host: str) -> str:
    # Not every browser counts websockets to the same host under 'self'.
    sources: Sequence[str] = ("'self'", f"ws://{host}", f"wss://{host}", "data:", "blob:")
    return f"frame-ancestors 'none'; connect-src {' '.join(sources)}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)
