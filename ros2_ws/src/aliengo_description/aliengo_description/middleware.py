"""Keeps the control path off the middleware's shared memory, and private graphs off the network.

Fast DDS, the default middleware of ROS 2, passes messages between processes of one machine through
queues in shared memory. A process that is killed while it uses one leaves it locked: whoever writes
to it next waits 1 s (the transport's `healthy_check_timeout_ms`), and some queues stay dead. Over UDP
the kernel owns the queues, and a killed process holds up nobody. The figures: docs/decisions/0015.
"""

import os
from pathlib import Path

__all__ = ["avoid_shared_memory", "stay_local"]

_SUBNET = str(Path(__file__).parent / "data" / "dds" / "subnet.xml")
_LOCALHOST = str(Path(__file__).parent / "data" / "dds" / "localhost.xml")
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Of Fast DDS 3 (Kilted) and of Fast DDS 2 (Humble, Jazzy)."""


def avoid_shared_memory() -> None:
    """Let Fast DDS use UDP alone, in this process and in those that it starts.

    Call it before `rclpy.init`. A profile or a choice of transports that the user's environment
    already has is left as it is, and so are other middlewares. Nodes of others may keep shared
    memory among themselves; with ours they then talk over UDP.

    A graph that was told to stay on this machine (`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST`, on
    Humble `ROS_LOCALHOST_ONLY=1`) does. Under those settings ROS adds shared memory whatever the
    profile says, so a profile of the same meaning takes their place.
    """
    if not os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps").startswith("rmw_fastrtps"):
        return
    profiles = {os.environ[name] for name in _PROFILE_VARIABLES if os.environ.get(name)}
    if os.environ.get("FASTDDS_BUILTIN_TRANSPORTS") or profiles - {_SUBNET, _LOCALHOST}:
        return
    discovery = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    local = discovery == "LOCALHOST" or os.environ.get("ROS_LOCALHOST_ONLY") == "1"
    if profiles and not local:  # inherited
        return
    if local:
        os.environ.pop("ROS_LOCALHOST_ONLY", None)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SYSTEM_DEFAULT"
    # Later releases warn of the older name.
    older = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    for name in _PROFILE_VARIABLES if older else _PROFILE_VARIABLES[:1]:
        os.environ[name] = _LOCALHOST if local else _SUBNET


def stay_local() -> None:
    """Let this process, and those it starts, be found on this machine only, without shared memory.

    Call it before `rclpy.init`. A setting that the user's environment already has is left as it is.
    """
    if os.environ.get("ROS_DISTRO") == "humble":  # later releases know this name but warn of it
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    avoid_shared_memory()
