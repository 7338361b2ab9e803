"""Replay finds the recorded policy, repeats its actions, and notices another one."""

import numpy as np
import pytest
from recorded_runs import Walk, write_walk

from aliengo_policy.bags.read import Bag
from aliengo_policy.bags.replay import ReplayError, main, replay
from aliengo_policy.testing import write_linear_policy


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        write_linear_policy(folder / f"{name}.onnx", base=rng.normal(0.0, 0.1, (45, 12)))
    return folder


@pytest.fixture(scope="module")
def bag(policies, tmp_path_factory):
    walk = Walk(seconds=4.0, policy=policies / "first.onnx")
    return write_walk(tmp_path_factory.mktemp("bags") / "run", walk)


def test_the_recorded_policy_repeats_its_actions(bag, policies):
    (result,) = replay(Bag(bag), models=policies)
    assert result.policy == "first"
    assert result.steps == 150
    assert result.largest_difference <= 1e-5
    assert result.largest_target_difference_rad <= 1e-6
    assert main([str(bag), "--models", str(policies)]) == 0


def test_another_policy_would_have_acted_otherwise(bag, policies):
    (result,) = replay(Bag(bag), model=policies / "second.onnx")
    assert result.policy == "second"
    assert result.largest_difference > 0.01


def test_the_policy_is_taken_from_the_recording_itself(policies, tmp_path):
    model = policies / "first.onnx"
    walk = Walk(seconds=2.0, policy=model, attachments=(model,))
    folder = write_walk(tmp_path / "run", walk)
    (result,) = replay(Bag(folder), models=tmp_path / "nowhere")
    assert result.largest_difference <= 1e-5


def test_steps_without_the_residual_are_compared_with_the_base(tmp_path):
    rng = np.random.default_rng(1)
    base, residual = rng.normal(0.0, 0.1, (45, 12)), rng.normal(0.0, 0.02, (45, 12))
    model = write_linear_policy(tmp_path / "residual.onnx", base, residual)
    walk = Walk(seconds=3.0, policy=model, residual_off_at_s=2.0, attachments=(model,))
    bag = Bag(write_walk(tmp_path / "run", walk))
    actions = bag.columns("/policy/step", ["residual_action"]).values["residual_action"]
    assert np.abs(actions[50:100]).max() > 0.01
    assert not actions[100:].any()
    (result,) = replay(bag, models=tmp_path / "nowhere")
    assert result.steps == 100
    assert result.largest_difference <= 1e-5


@pytest.mark.parametrize("namespace", [None, "red", "/red", "/red/"])
def test_a_robot_is_found_by_its_namespace(policies, tmp_path, namespace):
    model = policies / "first.onnx"
    folder = write_walk(tmp_path / "run", Walk(seconds=2.0, policy=model, namespace="/red"))
    (result,) = replay(Bag(folder), models=policies, namespace=namespace)
    assert result.steps == 50


def test_a_namespace_that_was_not_recorded_is_refused(bag, policies, capsys):
    assert main([str(bag), "--models", str(policies), "--namespace", "blue"]) == 1
    assert "has none of the topics /blue/low_state, " in capsys.readouterr().err


def test_a_policy_that_is_nowhere_is_named_with_what_was_found(bag, policies, tmp_path):
    (tmp_path / "second.onnx").write_bytes((policies / "second.onnx").read_bytes())
    with pytest.raises(ReplayError, match=r"neither in the recording nor in .*second"):
        replay(Bag(bag), models=tmp_path)


def test_a_recording_without_steps_is_refused(tmp_path, policies, capsys):
    folder = write_walk(tmp_path / "run", Walk(seconds=1.0, topics=("low_state",)))
    assert main([str(folder), "--models", str(policies)]) == 1
    assert "/policy/step" in capsys.readouterr().err


def test_a_recording_that_never_walks_is_refused(tmp_path, policies):
    walk = Walk(seconds=0.8, policy=policies / "first.onnx")
    folder = write_walk(tmp_path / "run", walk)
    with pytest.raises(ReplayError, match="stand"):
        replay(Bag(folder), models=policies)
