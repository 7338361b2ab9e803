"""Ways to reach the robot, all behind the `Link` interface.

| name | speaks to | needs |
|---|---|---|
| `udp` | the robot itself, or the twin | nothing |
| `sdk` | the robot, through Unitree's `robot_interface` binding | that binding |
| `lcm` | a running `lcm_position` process | PyPI `lcm` |

The modules are imported on use: a machine needs only what its own link needs. Python 3.8 is enough.
"""

from __future__ import annotations

from aliengo_bridge.links.base import Link, LinkCounters, LinkError

__all__ = ["LINK_NAMES", "Link", "LinkCounters", "LinkError", "make_link"]

LINK_NAMES = ("udp", "sdk", "lcm")


def make_link(
    name: str,
    *,
    local_port: int,
    robot_address: str,
    robot_port: int,
    lcm_url: str,
) -> Link:
    """Return an unconnected link.

    Args:
        name: One of `LINK_NAMES`.
        local_port: UDP port to bind, for `udp` and `sdk`.
        robot_address: IPv4 address of the robot, for `udp` and `sdk`.
        robot_port: UDP port of the robot, for `udp` and `sdk`.
        lcm_url: LCM provider, for `lcm`.

    Raises:
        LinkError: If the name is unknown or what the link needs is not installed.
    """
    if name == "udp":
        from aliengo_bridge.links.udp import UdpLink

        return UdpLink(local_port, robot_address, robot_port)
    if name == "sdk":
        from aliengo_bridge.links.sdk import SdkLink

        return SdkLink(local_port, robot_address, robot_port)
    if name == "lcm":
        from aliengo_bridge.links.lcm import LcmLink

        return LcmLink(lcm_url)
    raise LinkError(f"unknown link '{name}', there are {', '.join(LINK_NAMES)}")
