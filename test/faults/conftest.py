"""A graph of real processes for each test, as often as a soak asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from aliengo_policy.testing import write_linear_policy

REPETITIONS = int(os.environ.get("ALIENGO_FAULT_REPETITIONS", "1"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat every test here ALIENGO_FAULT_REPETITIONS times; `make soak` sets it to 20."""
    if REPETITIONS > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(REPETITIONS))


@pytest.fixture(scope="session")
def standing_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy file whose policy stands."""
    return write_linear_policy(tmp_path_factory.mktemp("policy") / "standing.onnx")


@pytest.fixture
def make_graph(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make graphs that are ended with the test, and show their logs if it fails."""
    from robot_graph import RobotGraph

    graphs: list[RobotGraph] = []

    def make(**arguments: Any) -> RobotGraph:
        folder = tmp_path / f"graph{len(graphs)}"
        folder.mkdir()
        graphs.append(RobotGraph(folder, **arguments))
        return graphs[-1]

    yield make
    for graph in graphs:
        graph.close()
        for name in graph.processes:
            print(f"--- {name} ---\n{graph.log(name)}")


@pytest.fixture
def graph(make_graph: Callable[..., Any], standing_policy: Path) -> Any:
    """A robot that stands under its policy."""
    instance = make_graph(policy=standing_policy)
    instance.stand_up()
    return instance
