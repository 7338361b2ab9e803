"""Keeps ROS 2 graphs that concern nobody else off the network."""

from __future__ import annotations

import os


def stay_local() -> None:
    """Let this process, and those it starts, be found on this machine only.

    A setting that the user's environment already has is left as it is.
    """
    if os.environ.get("ROS_DISTRO") == "humble":  # later releases know this name but warn of it
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
