"""Settings of all tests that cross packages."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aliengo_description.middleware import stay_local
from aliengo_policy.graph import GraphSettings, sim_graph
from aliengo_policy.process_group import ProcessGroup

# pytest's importlib mode does not make the helper modules beside the tests importable.
sys.path.insert(0, str(Path(__file__).parent))
from processes import free_port

# Test runs on one machine must not hear each other: a domain of its own for each (Linux leaves
# 0-101 usable), and nothing beyond this machine. Set before anything starts ROS.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
stay_local()


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    """Finds UDP ports of this machine that nobody uses."""
    return free_port


@pytest.fixture
def twin() -> Iterator[Callable[[], int]]:
    """Starts simulated robots; each call returns the UDP port of a new one."""
    groups: list[ProcessGroup] = []

    def start() -> int:
        port = free_port()
        spec = sim_graph(GraphSettings(robot_port=port))[0]
        listening = threading.Event()

        def write(line: str) -> None:
            if f":{port}" in line:
                listening.set()

        groups.append(ProcessGroup([spec], write=write))
        groups[-1].start()
        assert listening.wait(30.0), "the twin does not listen"
        return port

    yield start
    for group in groups:
        group.stop()
