"""A server's port is not one that an outgoing connection could take before the server listens on it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.servers import HOST, free_port
from settings import ROOT

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_port_is_given_once_and_never_to_an_outgoing_connection() -> None:
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == 50
    if RANGE.exists():
        lowest, highest = map(int, RANGE.read_text().split())
        assert not [port for port in ports if lowest <= port <= highest]


@pytest.mark.parametrize("taken", [False, True])
def test_the_usual_port_is_given_unless_it_is_taken(taken: bool) -> None:
    usual = free_port_of_the_system()
    with socket.socket() as other:
        if taken:
            other.bind((HOST, usual))
            other.listen()

        assert (free_port(usual) == usual) is not taken


def free_port_of_the_system() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_a_port_that_another_process_reserved_is_not_given() -> None:
    reserved = free_port()
    ask = f"from demo.servers import free_port; print(free_port({reserved}))"

    other = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)

    assert int(other.stdout) != reserved
