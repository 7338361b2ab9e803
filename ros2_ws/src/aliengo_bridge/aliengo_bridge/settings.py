"""The parameters of the bridge that are not limits, as one record that documents itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from aliengo_bridge.links import LINK_NAMES, Link, make_link
from aliengo_description.scheduling import BRIDGE

__all__ = ["Setting", "Settings", "settings_specs"]


@dataclass(frozen=True)
class Setting:
    """What a parameter means and which whole numbers it may take, if it is one."""

    description: str
    lowest: int | None = None
    highest: int | None = None


def _setting(
    default: Any, description: str, lowest: int | None = None, highest: int | None = None
) -> Any:
    return field(default=default, metadata={"spec": Setting(description, lowest, highest)})


@dataclass(frozen=True)
class Settings:
    """How the bridge reaches the robot and what it does besides."""

    link: str = _setting("udp", f"way to the robot: {', '.join(LINK_NAMES)}")
    robot_address: str = _setting("192.168.123.10", "IPv4 address of the robot (links udp and sdk)")
    robot_port: int = _setting(8007, "UDP port of the robot (links udp and sdk)", 1, 65535)
    local_port: int = _setting(8082, "UDP port of this machine (links udp and sdk)", 0, 65535)
    lcm_url: str = _setting(
        "udpm://239.255.76.67:7667?ttl=0", "LCM provider (link lcm); ttl=0 stays on this machine"
    )
    shadow: bool = _setting(
        False, "withhold all commands from the robot and publish them on bridge/withheld_cmd"
    )
    realtime_priority: int = _setting(
        BRIDGE, "SCHED_FIFO priority of the control loop where permitted, 0 for none", 0, 90
    )
    record_folder: str = _setting(
        "logs/faults", "where the last second before a fault is written; empty writes nothing"
    )
    frame_prefix: str = _setting("", "put before every frame, for several robots")

    def make_link(self) -> Link:
        """Return the chosen link, unconnected.

        Raises:
            LinkError: If the link is unknown or what it needs is not installed.
        """
        return make_link(
            self.link,
            local_port=self.local_port,
            robot_address=self.robot_address,
            robot_port=self.robot_port,
            lcm_url=self.lcm_url,
        )


def settings_specs() -> dict[str, tuple[Any, Setting]]:
    """Return default and meaning of every setting by name."""
    return {item.name: (item.default, item.metadata["spec"]) for item in fields(Settings)}
