import socket

import pytest

from crossbook.errors import PortInUseError
from crossbook.ports import LOOPBACK, PortAllocator, PortWish


@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_refused_with_its_number_and_its_flag(taken_port):
    wish = PortWish(name="gateway", port=taken_port, flag="--gateway-port", purpose="the gateway")
    with pytest.raises(PortInUseError, match=rf"port {taken_port}, .*--gateway-port"):
        PortAllocator().claim_all((wish,), remembered={})


def test_two_wishes_for_one_port_are_refused():
    free = PortAllocator().claim_all((PortWish(name="any"),), remembered={})["any"]
    wishes = (PortWish(name="gateway", port=free, flag="--gateway-port"), PortWish(name="aws", port=free, flag="--aws"))
    with pytest.raises(PortInUseError, match="--aws"):
        PortAllocator().claim_all(wishes, remembered={})


def test_a_part_gets_its_remembered_port_again_while_it_is_free(taken_port):
    free = PortAllocator().claim_all((PortWish(name="redis"),), remembered={})["redis"]
    remembered = {"redis": free, "postgres": taken_port}
    claimed = PortAllocator().claim_all((PortWish(name="redis"), PortWish(name="postgres")), remembered=remembered)
    assert claimed["redis"] == free
    assert claimed["postgres"] not in {taken_port, free}
