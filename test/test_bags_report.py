"""The report states what happened in a walk whose figures are known by construction."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from recorded_runs import WALK_START, Walk, low_state, write_walk

from aliengo_description import robot
from aliengo_policy.bags.metrics import envelope, run_metrics
from aliengo_policy.bags.read import BagError
from aliengo_policy.bags.report import main, write_report
from aliengo_policy.bags.run import Run, load_run

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bags") / "first"
    lost = frozenset(range(3000, 3005)) | {4000}
    return write_walk(folder, Walk(fault_at_s=11.0, lost_states=lost))


@pytest.fixture(scope="module")
def report(walk, tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    page = write_report([walk], output)
    return json.loads((output / "report.json").read_text()), page.read_text(), output


def test_lost_states_are_counted(report):
    assert report[0]["stream"] == {
        "messages": 5994,
        "tick_period_ms": 2,
        "lost": 6,
        "longest_gap_ms": 12,
        "repeated": 0,
        "robot_restarts": 0,
    }


def test_a_robot_that_started_anew_is_no_loss(tmp_path):
    folder = write_walk(tmp_path / "run", Walk(seconds=4.0, restart_at_s=2.0))
    page = write_report([folder], tmp_path / "report").read_text()
    stream = json.loads((tmp_path / "report" / "report.json").read_text())["stream"]
    assert (stream["robot_restarts"], stream["lost"], stream["longest_gap_ms"]) == (1, 0, 2)
    assert "restarts of the robot" in page


def test_ticks_that_wrap_are_no_restart():
    ticks = (np.arange(100) * 2 + 2**32 - 100).astype(np.uint32)
    run = Run("wrap", 1.0, True, {}, state={"time": np.arange(100) * 0.002, "tick": ticks})
    assert run_metrics(run)["stream"]["robot_restarts"] == 0
    assert run_metrics(run)["stream"]["lost"] == 0


def test_power_and_target_error_are_those_of_walking(report):
    joints = report[0]["joints"]
    # Everywhere 0.5 rad/s in walking; in standing ten times as much.
    torque = np.mean([np.abs([m.tau_est for m in low_state(i).motor_state]).sum()
                      for i in range(WALK_START, WALK_START + 200)])  # fmt: skip
    assert joints["mean_absolute_power_while_walking_w"] == pytest.approx(0.5 * torque, rel=0.02)
    targets = np.array(robot.DEFAULT_JOINT_POSITIONS)
    errors = np.abs(targets - robot.STAND_JOINT_POSITIONS)
    found = list(joints["target_error_rms_while_walking_rad"].values())
    np.testing.assert_allclose(found, errors, atol=1e-6)
    assert "mean power while walking [W]" in report[1]


def test_nothing_is_said_of_walking_where_the_robot_never_walked(tmp_path):
    folder = write_walk(tmp_path / "run", Walk(seconds=0.8))
    joints = run_metrics(load_run(folder))["joints"]
    assert "peak_torque_nm" in joints
    assert not [name for name in joints if "walking" in name]


@pytest.mark.parametrize("count", [3001, 4499, 4500, 5994, 7001])
def test_figures_show_every_sample_to_the_last(count):
    times = np.arange(count) * 0.002
    values = np.zeros((count, 2))
    for index in (0, count // 2, count - 1):
        values[:] = 0.0
        values[index] = 1.0, -1.0
        (starts, _, highest), (_, lowest, _) = envelope(times, values)
        assert len(starts) == len(highest) == 1500
        assert highest.max() == 1.0
        assert lowest.min() == -1.0


def test_tracking_is_judged_per_stretch_of_constant_command(report):
    tracking = report[0]["tracking"]
    assert tracking["source"] == "ground truth"
    assert tracking["rmse_while_walking"]["vx"] == pytest.approx(0.1, abs=0.01)
    stretches = tracking["segments"]
    assert [s["command"]["vx"] for s in stretches] == [0.5, 1.0]
    for stretch in stretches:
        assert stretch["rmse"]["vx"] == pytest.approx(0.1, abs=1e-5)
        assert stretch["measured"]["wz"] == pytest.approx(stretch["command"]["wz"], abs=1e-5)


def test_gait_follows_from_the_torques(report):
    gait = report[0]["gait"]
    for leg in ("FL", "RR", "FR", "RL"):
        assert gait["duty_factor"][leg] == pytest.approx(125 / 200, abs=0.02)
        assert gait["steps_per_s"][leg] == pytest.approx(500 / 200, rel=0.1)
    assert gait["feet_down"]["4"] == pytest.approx(50 / 200, abs=0.03)
    assert gait["feet_down"]["2"] == pytest.approx(150 / 200, abs=0.03)


def test_faults_modes_and_temperatures_are_listed(report):
    metrics = report[0]
    events = {(e["kind"], e["text"]) for e in metrics["events"]}
    assert ("fault", "tilt: tilt 1.1 rad, limit 1.0 rad") in events
    assert ("mode", "walk") in events
    assert metrics["faults"] == 1
    assert metrics["temperature"]["hottest_c"] == 41
    assert metrics["timing"]["state_age"]["p99_ms"] == pytest.approx(1.0, abs=1e-3)


def test_the_page_is_self_contained_and_well_formed(report):
    _, page, output = report
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                open_tags.append(tag)
            for name, value in attrs:
                assert name not in ("src", "href") or value.startswith("data:")

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []
    images = re.findall(r'<h2 id="(\w+)">', page)
    assert {"velocity", "joints", "torques", "gait", "timing", "temperatures"} <= set(images)
    for name in images:
        assert (output / f"{name}.png").read_bytes().startswith(PNG)


def test_two_recordings_are_compared(walk, tmp_path):
    second = write_walk(tmp_path / "second", Walk(offset=-0.3))
    page = write_report([walk, second], tmp_path / "report").read_text()
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())
    errors = [m["tracking"]["rmse_while_walking"]["vx"] for m in metrics]
    assert errors == pytest.approx([0.1, 0.3], abs=0.01)
    assert "first compared with second" in page


def test_missing_topics_are_named_and_the_rest_is_reported(tmp_path):
    folder = write_walk(tmp_path / "run", Walk(seconds=3.0, topics=("low_state",)))
    page = write_report([folder], tmp_path / "report").read_text()
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "topic /policy/step was not recorded" in page
    assert "tracking" not in metrics
    assert metrics["stream"]["messages"] == 1500


def test_a_cut_off_recording_is_reported_up_to_the_cut(walk, tmp_path):
    content = (walk / "first_0.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(content[: len(content) // 2])
    page = write_report([tmp_path / "cut.mcap"], tmp_path / "report").read_text()
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())
    assert not metrics["complete"]
    assert 0 < metrics["stream"]["messages"] < 5994
    assert "cut off" in page


def test_a_namespace_is_found_and_several_must_be_named(tmp_path):
    folder = write_walk(tmp_path / "run", Walk(seconds=1.0, namespace="/red"))
    assert len(load_run(folder).state["tick"]) == 500
    other = write_walk(tmp_path / "other", Walk(seconds=1.0, namespace="/blue"))
    (other / "other_0.mcap").rename(folder / "run_1.mcap")
    with pytest.raises(BagError, match=r"/blue/.*/red/.*--namespace"):
        load_run(folder)
    for namespace in ("/blue", "blue", "/blue/"):
        assert len(load_run(folder, namespace).state["tick"]) == 500


def test_a_namespace_without_a_topic_is_refused(walk, tmp_path, capsys):
    assert main([str(walk), "-o", str(tmp_path / "report"), "--namespace", "green"]) == 1
    assert "has none of the topics /green/low_state, " in capsys.readouterr().err


def test_positions_stay_in_policy_order(walk):
    run = load_run(walk)
    assert run.state["q"].shape[1] == 12
    np.testing.assert_allclose(run.state["temperature"][0], 30 + np.arange(12))


def test_an_absent_recording_ends_with_a_message(tmp_path, capsys):
    assert main([str(tmp_path / "absent")]) == 1
    assert "absent" in capsys.readouterr().err
