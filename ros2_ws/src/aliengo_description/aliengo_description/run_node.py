"""Start, spin and quiet end of a node that has nothing to do before it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from aliengo_description.middleware import avoid_shared_memory

__all__ = ["run_node"]

AnyNode = TypeVar("AnyNode", bound=Node)


def run_node(
    name: str,
    make: Callable[[], AnyNode],
    spin: Callable[[AnyNode], None] = rclpy.spin,
    failures: tuple[type[RuntimeError], ...] = (),
) -> None:
    """Makes a node and runs it until it is shut down; a signal ends it quietly at any moment.

    Args:
        name: Of the node, before what is said when it fails.
        make: Makes the node; a parameter that cannot be is a ValueError or ParameterException.
        spin: Runs the node until it ends.
        failures: What else is told in one line, whenever it happens.

    Raises:
        SystemExit: With that line, if the node cannot start or fails.
    """
    avoid_shared_memory()
    rclpy.init()
    node: AnyNode | None = None
    try:
        try:
            node = make()
        except (ValueError, ParameterException) as error:
            raise SystemExit(f"{name}: {error}") from error
        spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError as error:
        # A signal ends the context at any moment, also while topics are opened or in a publish(),
        # and rcl's errors are of this kind.
        if rclpy.ok():
            if isinstance(error, failures):
                raise SystemExit(f"{name}: {error}") from error
            raise
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
