"""The `metadata.yaml` beside a recording, as rosbag2 (Humble and later) expects it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TopicSummary", "metadata_yaml", "qos_yaml"]

_UNLIMITED = {"sec": 9223372036, "nsec": 854775807}


@dataclass
class TopicSummary:
    """What the metadata says about one topic."""

    name: str
    type: str
    qos: str = ""
    count: int = 0


def qos_yaml(reliable: bool, transient_local: bool, depth: int = 10) -> str:
    """Writes one QoS profile with the numbers of rmw, which every release understands."""
    unlimited = "{" + ", ".join(f"{key}: {value}" for key, value in _UNLIMITED.items()) + "}"
    lines = (
        "- history: 1",
        f"  depth: {depth}",
        f"  reliability: {1 if reliable else 2}",
        f"  durability: {1 if transient_local else 2}",
        f"  deadline: {unlimited}",
        f"  lifespan: {unlimited}",
        "  liveliness: 1",
        f"  liveliness_lease_duration: {unlimited}",
        "  avoid_ros_namespace_conventions: false",
    )
    return "\n".join(lines)


def metadata_yaml(
    file_name: str, topics: Sequence[TopicSummary], first_ns: int, last_ns: int
) -> str:
    """Writes version 5 of the metadata, the one of Humble; later releases read it too."""
    count = sum(topic.count for topic in topics)
    duration = max(last_ns - first_ns, 0)
    lines = [
        "rosbag2_bagfile_information:",
        "  version: 5",
        "  storage_identifier: mcap",
        "  duration:",
        f"    nanoseconds: {duration}",
        "  starting_time:",
        f"    nanoseconds_since_epoch: {first_ns}",
        f"  message_count: {count}",
        "  topics_with_message_count:" + ("" if topics else " []"),
    ]
    for topic in topics:
        lines += [
            "    - topic_metadata:",
            f"        name: {topic.name}",
            f"        type: {topic.type}",
            "        serialization_format: cdr",
            # JSON strings are YAML strings, with every line break escaped.
            f"        offered_qos_profiles: {json.dumps(topic.qos)}",
            f"      message_count: {topic.count}",
        ]
    lines += [
        '  compression_format: ""',
        '  compression_mode: ""',
        "  relative_file_paths:",
        f"    - {file_name}",
        "  files:",
        f"    - path: {file_name}",
        "      starting_time:",
        f"        nanoseconds_since_epoch: {first_ns}",
        "      duration:",
        f"        nanoseconds: {duration}",
        f"      message_count: {count}",
    ]
    return "\n".join(lines) + "\n"
