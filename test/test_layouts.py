"""The Foxglove and RViz layouts show topics and fields that exist."""

import json
import re
from pathlib import Path

import pytest
import yaml
from recorded_runs import typestore

CONFIG = Path(__file__).parents[1] / "config"
TOPICS = {
    "/low_state": "unitree_legged_msgs/msg/LowState",
    "/policy/step": "aliengo_msgs/msg/PolicyStep",
    "/policy/state": "aliengo_msgs/msg/PolicyState",
    "/bridge/state": "aliengo_msgs/msg/BridgeState",
    "/teleop/source": "aliengo_msgs/msg/CommandSource",
    "/odom": "nav_msgs/msg/Odometry",
    "/ground_truth/odom": "nav_msgs/msg/Odometry",
}
FOXGLOVE = json.loads((CONFIG / "foxglove" / "aliengo.json").read_text())


def paths() -> list[str]:
    return [
        path["value"]
        for panel in FOXGLOVE["configById"].values()
        for path in panel.get("paths", [])
    ]


@pytest.mark.parametrize("path", paths())
def test_a_plotted_path_leads_to_a_number_or_a_word(path):
    topic, _, fields = path.partition(".")
    kind = TOPICS[topic]
    for part in fields.split("."):
        name = part.split("[")[0]
        found = dict(typestore().get_msgdef(kind).fields)[name]
        index = re.search(r"\[(\d+)\]", part)
        node, detail = found[0].name, found[1]
        if index is not None:
            assert node in ("ARRAY", "SEQUENCE"), f"{part} is not an array"
            (node_kind, inner), length = detail
            assert node == "SEQUENCE" or int(index[1]) < length
            node, detail = node_kind.name, inner
        kind = detail if node == "NAME" else ""
    assert kind == "", f"{path} ends at a message"


def test_every_panel_of_the_layout_is_configured():
    def panels(node):
        if isinstance(node, str):
            return {node}
        return panels(node["first"]) | panels(node["second"])

    assert panels(FOXGLOVE["layout"]) == set(FOXGLOVE["configById"])


def test_rviz_follows_the_robot_and_shows_both_velocities():
    rviz = yaml.safe_load((CONFIG / "rviz" / "aliengo.rviz").read_text())
    manager = rviz["Visualization Manager"]
    shown = {d["Topic"]["Value"] for d in manager["Displays"] if "Topic" in d}
    assert {f"/{name}" for name in shown} <= set(TOPICS)
    assert manager["Global Options"]["Fixed Frame"] == "odom"
    assert manager["Views"]["Current"]["Target Frame"] == "base_link"
