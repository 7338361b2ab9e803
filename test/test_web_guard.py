"""Who may talk to the live view: its own page and programs, but no page of another site."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

viser = pytest.importorskip("viser", reason="the live view needs viser")

import websockets.asyncio.server  # noqa: E402

from aliengo_policy.web.guard import own_names, refusal, start_guarded  # noqa: E402

NAMES = own_names("127.0.0.1")
DEADLINE_S = 20.0


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", None),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080", "http://localhost:8080"),
        ("LocalHost:9000", "http://localhost:9000"),  # through a tunnel
        ("[::1]:8080", "http://[::1]:8080"),
        ("192.168.123.20", "https://192.168.123.20"),
    ],
)
def test_the_own_page_and_programs_pass(host: str, origin: str | None) -> None:
    headers = Headers({"Host": host} | ({"Origin": origin} if origin else {}))
    assert refusal(headers, NAMES) == ""


@pytest.mark.parametrize(
    ("host", "origin", "named"),
    [
        ("127.0.0.1:8080", "https://evil.example", "https://evil.example"),
        ("127.0.0.1:8080", "http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("127.0.0.1:8080", "http://localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "null", "null"),  # a file, or a frame without rights
        ("evil.example:8080", "http://evil.example:8080", "evil.example:8080"),
        ("localhost.evil.example:8080", None, "localhost.evil.example"),
        ("127.0.0.1.evil.example", None, "127.0.0.1.evil.example"),
        ("127.0.0.1:8080; connect-src *", None, "connect-src"),
        ("", None, "Host ''"),
    ],
)
def test_foreign_pages_and_foreign_names_are_refused(
    host: str, origin: str | None, named: str
) -> None:
    headers = Headers({"Host": host} | ({"Origin": origin} if origin else {}))
    assert named in refusal(headers, NAMES)


def test_a_request_says_once_where_it_goes_and_whence_it_comes() -> None:
    headers = Headers()
    assert "found 0" in refusal(headers, NAMES)
    headers["Host"] = "localhost"
    headers["Origin"] = "http://localhost"
    headers["Origin"] = "https://evil.example"
    assert "evil.example" in refusal(headers, NAMES)
    headers["Host"] = "evil.example"
    assert "found 2" in refusal(headers, NAMES)


def test_the_machines_name_counts_only_where_the_network_is_let_in() -> None:
    local, open_to_all = own_names("localhost"), own_names("0.0.0.0", ["Robot.Lab"])
    assert local == own_names("::1") == {"localhost"}
    assert local < open_to_all
    assert "robot.lab" in open_to_all


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Port of a guarded server of viser."""
    served = start_guarded(NAMES, host="127.0.0.1", port=0, verbose=False)
    yield served.get_port()
    served.stop()


def shake_hands(port: int, origin: str | None, name: str = "127.0.0.1") -> ClientConnection:
    return connect(
        f"ws://{name}:{port}",
        sock=socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S),
        origin=origin,  # type: ignore[arg-type]
        subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]
        max_size=None,
        open_timeout=DEADLINE_S,
    )


@pytest.mark.parametrize("own", [True, False])
def test_viser_serves_its_own_page_and_programs(server: int, own: bool) -> None:
    with shake_hands(server, f"http://127.0.0.1:{server}" if own else None) as connection:
        assert isinstance(connection.recv(timeout=DEADLINE_S), bytes)  # the scene


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_viser_refuses_the_handshake_of_a_foreign_page(server: int, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        shake_hands(server, origin)
    assert caught.value.response.status_code == 403
    assert origin in bytes(caught.value.response.body).decode()


def test_viser_refuses_a_name_that_was_made_to_point_here(server: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        shake_hands(server, f"http://evil.example:{server}", name="evil.example")
    assert caught.value.response.status_code == 403


def get(port: int, host: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/", headers={"Host": host})
    return connection.getresponse()


def test_the_page_may_not_be_embedded_nor_connect_elsewhere(server: int) -> None:
    own = get(server, f"127.0.0.1:{server}")
    policy = own.getheader("Content-Security-Policy", "")
    assert own.status == 200
    assert "frame-ancestors 'none'" in policy
    assert f"connect-src 'self' ws://127.0.0.1:{server} " in policy
    assert get(server, f"evil.example:{server}").status == 403


def test_a_viser_that_cannot_be_guarded_is_not_left_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []

    class OtherServer:
        """A later viser, on another library."""

        def __init__(self, **options: object) -> None:
            pass

        def stop(self) -> None:
            stopped.append(True)

    monkeypatch.setattr(viser, "ViserServer", OtherServer)
    before = websockets.asyncio.server.serve
    with pytest.raises(RuntimeError, match="does not start its server as expected"):
        start_guarded(NAMES, host="127.0.0.1")
    assert stopped == [True]
    assert websockets.asyncio.server.serve is before


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match=r"host is '192\.0\.2\.1'.*allowed is an address of this"):
        start_guarded(NAMES, host="192.0.2.1", port=0, verbose=False)
