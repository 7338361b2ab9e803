"""The graph of the robot and that of the twin are the same but for the robot itself."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aliengo_bridge.limits import limit_specs
from aliengo_policy.graph import (
    REAL_ARGUMENTS,
    SIM_ARGUMENTS,
    GraphSettings,
    ProcessSpec,
    real_graph,
    sim_graph,
)

ROOT = Path(__file__).resolve().parents[1]
FULL = GraphSettings(teleop="xbox", record=True, experiment_name="2024", shadow=True, web=True)


def by_name(specs: list[ProcessSpec]) -> dict[str, ProcessSpec]:
    return {spec.name: spec for spec in specs}


def test_simulation_differs_by_the_twin_and_the_address_only() -> None:
    real, sim = by_name(real_graph(FULL)), by_name(sim_graph(FULL))
    assert set(sim) - set(real) == {"sim"}
    assert set(real) <= set(sim)
    for name in set(real) - {"bridge"}:
        assert real[name] == sim[name]
    changed = {
        key
        for key, value in real["bridge"].parameters.items()
        if sim["bridge"].parameters[key] != value
    }
    assert changed == {"robot_address"}


def test_the_robot_is_damped_until_last() -> None:
    specs = by_name(sim_graph(FULL))
    bridge = specs["bridge"].stop_rank
    assert all(
        spec.stop_rank < bridge for name, spec in specs.items() if name not in ("bridge", "sim")
    )
    assert specs["sim"].stop_rank > bridge
    assert {name for name, spec in specs.items() if spec.critical} == {
        "sim",
        "bridge",
        "policy",
        "teleop",
    }


def test_command_lines_keep_the_types_of_values() -> None:
    specs = by_name(sim_graph(FULL))
    command = specs["recorder"].command("", "warn")
    assert 'output:="logs/bags/2024"' in command
    assert command[-2:] == ["--log-level", "warn"]
    command = specs["policy"].command("robot1", "info")
    assert "__ns:=/robot1" in command
    assert "max_vel:=1.0" in command
    assert "shadow:=true" in command


def test_every_parameter_file_and_module_exists() -> None:
    for spec in sim_graph(FULL):
        for path in spec.parameter_files:
            assert path.is_file(), path
        module = f"{spec.package}/{spec.module.replace('.', '/')}.py"
        folders = [ROOT, ROOT / "ros2_ws" / "src" / spec.package]
        assert any((folder / module).is_file() for folder in folders), module


def test_executables_are_installed_under_the_graphs_names() -> None:
    for spec in sim_graph(FULL):
        folder = ROOT if spec.package == "aliengo_policy" else ROOT / "ros2_ws/src" / spec.package
        entry = f"{spec.executable} = {spec.package}.{spec.module}:main"
        assert entry in (folder / "setup.py").read_text(), entry


def test_every_setting_is_an_argument_with_its_default_and_a_description() -> None:
    arguments = {argument.name: argument for argument in (*REAL_ARGUMENTS, *SIM_ARGUMENTS)}
    defaults = {name: argument.default for name, argument in arguments.items()}
    assert defaults == vars(GraphSettings())
    assert all(argument.description for argument in arguments.values())


def test_wrong_values_are_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"log_level must be one of .* found 'loud'"):
        GraphSettings(log_level="loud")
    with pytest.raises(ValueError, match=r"teleop must be none or one of .*'xbox'.* found 'wheel'"):
        GraphSettings(teleop="wheel")


def test_the_live_view_brings_the_arbitration_but_no_gamepad() -> None:
    specs = by_name(sim_graph(GraphSettings(web=True)))
    assert {"web", "teleop"} <= set(specs)
    assert "gamepad" not in specs
    assert not specs["web"].critical
    assert specs["web"].parameters == {"host": "127.0.0.1"}


def test_the_live_view_listens_where_it_is_told() -> None:
    specs = by_name(real_graph(GraphSettings(web=True, web_host="0.0.0.0")))
    assert 'host:="0.0.0.0"' in specs["web"].command("", "info")


def frames(graph: Callable[[GraphSettings], list[ProcessSpec]], namespace: str) -> dict[str, dict]:
    """Parameters about frames by node, of the nodes that have some."""
    found = {
        spec.name: {key: value for key, value in spec.parameters.items() if "frame" in key}
        for spec in graph(GraphSettings(namespace=namespace, teleop="xbox", web=True))
    }
    return {name: values for name, values in found.items() if values}


@pytest.mark.parametrize(("namespace", "prefix"), [("robot1", "robot1/"), ("/a/", "a/")])
def test_two_robots_have_no_frame_in_common(namespace: str, prefix: str) -> None:
    prefixed = {"frame_prefix": prefix}
    commanding = {"frame_id": f"{prefix}base_link"}
    expected = {
        "bridge": prefixed,
        "odometry": {"odom_frame": f"{prefix}odom", "base_frame": f"{prefix}base_link"},
        "description": prefixed,
        "teleop": commanding,
        "web": commanding,
    }
    assert frames(real_graph, namespace) == expected
    assert frames(sim_graph, namespace) == {"sim": prefixed, **expected}


def test_without_a_namespace_the_frames_are_those_of_the_parameter_files() -> None:
    assert frames(sim_graph, "") == frames(real_graph, "/") == {}


def test_who_has_work_to_finish_gets_the_time_for_it() -> None:
    specs = by_name(sim_graph(FULL))
    longest = limit_specs()["exit_damping_s"].highest
    assert specs["bridge"].stop_grace_s > longest + 2.0
    assert specs["recorder"].stop_grace_s > specs["policy"].stop_grace_s


@pytest.mark.parametrize("profile", ["keyboard", "unitree"])
def test_profiles_that_need_no_gamepad_start_none(profile: str) -> None:
    assert "gamepad" not in by_name(real_graph(GraphSettings(teleop=profile)))


def test_a_recording_carries_its_policy() -> None:
    attachments = by_name(sim_graph(FULL))["recorder"].parameters["attachments"]
    assert isinstance(attachments, list)
    assert [Path(name).name for name in attachments] == ["base.onnx"]
