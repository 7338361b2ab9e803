"""The runtime computes what the contract says and survives a bad residual."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from aliengo_description import robot
from aliengo_policy.contract import METADATA_KEY, ContractError, PolicyContract
from aliengo_policy.observation import RobotState
from aliengo_policy.runtime import PolicyFaultError, PolicyRuntime
from aliengo_policy.testing import OBSERVATION_TERMS, example_contract, write_linear_policy

VX_ROW = 6  # of the observation
LAST_ROWS = slice(33, 45)
RNG = np.random.default_rng(7)


def some_state(quaternion: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)) -> RobotState:
    """Random joints and turn rates, upright unless told otherwise."""
    return RobotState(
        joint_positions=robot.STAND_JOINT_POSITIONS + RNG.normal(0.0, 0.2, 12),
        joint_velocities=RNG.normal(0.0, 3.0, 12),
        quaternion=np.array(quaternion),
        angular_velocity=RNG.normal(0.0, 1.0, 3),
    )


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation from body to world by the sandwich product, column by column."""
    w, vector = quaternion[0], quaternion[1:]
    columns = [
        axis + 2.0 * np.cross(vector, np.cross(vector, axis) + w * axis) for axis in np.eye(3)
    ]
    return np.array(columns).T


def test_gravity_is_the_rotated_vertical_for_any_quaternion() -> None:
    for _ in range(50):
        quaternion = RNG.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        expected = rotation_matrix(quaternion).T @ [0.0, 0.0, -1.0]
        for scaled in (quaternion, -quaternion, 1.7 * quaternion):
            np.testing.assert_allclose(some_state(tuple(scaled)).gravity_b(), expected, atol=1e-12)


def test_nose_down_means_gravity_points_forward() -> None:
    half = 0.3 / 2
    state = some_state((np.cos(half), 0.0, np.sin(half), 0.0))  # positive pitch turns x towards -z
    np.testing.assert_allclose(state.gravity_b(), [np.sin(0.3), 0.0, -np.cos(0.3)], atol=1e-12)
    assert state.tilt() == pytest.approx(0.3)


def test_observation_has_the_contracts_order_scales_and_clip(tmp_path: Path) -> None:
    terms = (replace(OBSERVATION_TERMS[0], clip=(-0.1, 0.1)), *OBSERVATION_TERMS[1:])
    contract = replace(example_contract(), observation_terms=terms)
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", contract=contract))
    state, command = some_state(), np.array([0.5, -0.2, 0.8])
    seen = runtime.step(state, command).observation
    np.testing.assert_allclose(
        seen[0:3], np.clip(0.25 * state.angular_velocity, -0.1, 0.1), atol=1e-6
    )
    np.testing.assert_allclose(seen[3:6], [0.0, 0.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(seen[6:9], [1.0, -0.4, 0.2], atol=1e-6)
    error = state.joint_positions - robot.DEFAULT_JOINT_POSITIONS
    np.testing.assert_allclose(seen[9:21], error, atol=1e-6)
    np.testing.assert_allclose(seen[21:33], 0.05 * state.joint_velocities, atol=1e-6)
    np.testing.assert_array_equal(seen[33:45], 0.0)


def test_term_order_follows_the_contract(tmp_path: Path) -> None:
    contract = replace(example_contract(), observation_terms=OBSERVATION_TERMS[::-1])
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", contract=contract))
    state = some_state()
    seen = runtime.step(state, np.zeros(3)).observation
    np.testing.assert_allclose(seen[42:45], 0.25 * state.angular_velocity, atol=1e-6)


def test_linear_policy_gives_its_matrix_product_and_remembers_its_action(tmp_path: Path) -> None:
    base = RNG.normal(0.0, 0.3, (45, 12))
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", base=base))
    first = runtime.step(some_state(), np.array([0.4, 0.0, 0.0]))
    np.testing.assert_allclose(first.action, first.observation @ base, atol=1e-5)
    np.testing.assert_allclose(
        first.joint_targets, robot.DEFAULT_JOINT_POSITIONS + 0.25 * first.action, atol=1e-12
    )
    second = runtime.step(some_state(), np.zeros(3))
    np.testing.assert_allclose(second.observation[33:45], first.action, atol=1e-5)
    runtime.reset()
    np.testing.assert_array_equal(runtime.step(some_state(), np.zeros(3)).observation[33:45], 0.0)


def test_action_is_clipped_before_it_is_used_and_remembered(tmp_path: Path) -> None:
    base = np.zeros((45, 12))
    base[VX_ROW, 0] = 5.0
    contract = replace(example_contract(), action_clip=1.5)
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", base=base, contract=contract))
    output = runtime.step(some_state(), np.array([1.0, 0.0, 0.0]))
    assert output.action[0] == 1.5
    assert output.joint_targets[0] == robot.DEFAULT_JOINT_POSITIONS[0] + 0.25 * 1.5


def residual_policy(folder: Path, gain: float) -> PolicyRuntime:
    """Base 0.1 and residual ``gain`` per unit of the scaled forward command, on the first joint."""
    base, residual = np.zeros((45, 12)), np.zeros((45, 12))
    base[VX_ROW, 0], residual[VX_ROW, 0] = 0.1, gain
    return PolicyRuntime(write_linear_policy(folder / "residual.onnx", base, residual))


def test_residual_is_reported_apart_from_the_base(tmp_path: Path) -> None:
    output = residual_policy(tmp_path, 0.25).step(some_state(), np.array([1.3, 0.0, 0.0]))
    assert output.base_action[0] == pytest.approx(0.26)
    assert output.residual_action[0] == pytest.approx(0.65)
    assert output.action[0] == pytest.approx(0.91)
    assert output.gate == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("gain", "reason"), [(1.0, "exceeds the contract's bound 2.000"), (3e38, "not finite")]
)
def test_a_bad_residual_never_reaches_the_joints(tmp_path: Path, gain: float, reason: str) -> None:
    runtime = residual_policy(tmp_path, gain)
    assert runtime.step(some_state(), np.array([0.1, 0.0, 0.0])).residual_action[0] or gain > 2.0
    runtime.clear_residual_fault()
    output = runtime.step(some_state(), np.array([2.0, 0.0, 0.0]))
    np.testing.assert_allclose(output.action, output.base_action)
    np.testing.assert_array_equal(output.residual_action, 0.0)
    assert reason in runtime.residual_fault
    assert not runtime.residual_active
    assert output.gate == 0.0
    # It stays off, also where the residual would be harmless, until it is cleared.
    np.testing.assert_array_equal(runtime.step(some_state(), np.zeros(3)).residual_action, 0.0)
    runtime.clear_residual_fault()
    assert runtime.residual_active


def test_a_base_without_a_finite_action_is_a_fault(tmp_path: Path) -> None:
    base = np.zeros((45, 12))
    base[VX_ROW, 4] = 3e38
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", base=base))
    with pytest.raises(PolicyFaultError, match=r"base action \[4\] = inf"):
        runtime.step(some_state(), np.array([2.0, 0.0, 0.0]))


def test_a_measurement_that_is_not_finite_is_a_fault(tmp_path: Path) -> None:
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "p.onnx"))
    state = some_state()
    state.joint_positions[0] = np.nan
    with pytest.raises(PolicyFaultError, match=r"observation \[9\] = nan"):
        runtime.step(state, np.zeros(3))


def test_an_unknown_observation_term_is_refused_at_loading(tmp_path: Path) -> None:
    terms = (replace(OBSERVATION_TERMS[0], name="height_scan"), *OBSERVATION_TERMS[1:])
    contract = replace(example_contract(), observation_terms=terms)
    with pytest.raises(ContractError, match="height_scan"):
        PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", contract=contract))


def holding(rows: slice = LAST_ROWS, factor: float = 1.0) -> np.ndarray:
    """A matrix whose action is the last one: its targets never step."""
    matrix = np.zeros((45, 12))
    matrix[rows] = factor * np.eye(12)
    return matrix


def limited(kind: str = "base") -> PolicyContract:
    return replace(example_contract(kind), max_target_step=0.34)


def test_a_file_that_keeps_its_limit_is_accepted(tmp_path: Path) -> None:
    path = write_linear_policy(tmp_path / "p.onnx", holding(), contract=limited())
    assert PolicyRuntime(path).contract.max_target_step == 0.34


def test_a_file_that_takes_one_observation_at_a_time_is_tried_one_by_one(tmp_path: Path) -> None:
    path = write_linear_policy(tmp_path / "p.onnx", holding(), contract=limited())
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    assert PolicyRuntime(path).contract.max_target_step == 0.34


@pytest.mark.parametrize("culprit", ["action", "base_action"])
def test_a_file_that_breaks_its_own_limit_is_refused(tmp_path: Path, culprit: str) -> None:
    loose = holding()
    loose[VX_ROW, 3] = 1.0
    base, action = (loose, holding()) if culprit == "base_action" else (holding(), loose)
    path = write_linear_policy(tmp_path / "p.onnx", base, action - base, limited("residual"))
    with pytest.raises(
        ContractError,
        match=rf"step of {culprit} from the last action: "
        r"expected at most max_target_step, 0\.34 rad, found \d\.\d+ rad",
    ):
        PolicyRuntime(path)


def test_standing_still_does_not_hide_that_a_limit_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="max_target_step"):
        PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", contract=limited()))


def test_the_limit_is_tried_where_and_how_the_terms_hold_the_last_action(tmp_path: Path) -> None:
    last = replace(OBSERVATION_TERMS[-1], scale=(0.5,) * 12)
    contract = replace(limited(), observation_terms=(last, *OBSERVATION_TERMS[:-1]))
    path = write_linear_policy(tmp_path / "p.onnx", holding(slice(0, 12), 2.0), contract=contract)
    PolicyRuntime(path)
    write_linear_policy(path, holding(), contract=contract)
    with pytest.raises(ContractError, match="max_target_step"):
        PolicyRuntime(path)


def test_a_limit_needs_the_last_action_in_the_observation(tmp_path: Path) -> None:
    contract = replace(limited(), observation_terms=OBSERVATION_TERMS[:-1])
    with pytest.raises(
        ContractError, match=r"observation_terms: expected 'last_action' for max_target_step, found"
    ):
        PolicyRuntime(write_linear_policy(tmp_path / "p.onnx", contract=contract))


def with_metadata(path: Path, **changes: object) -> Path:
    """The file with some fields of its metadata replaced, those that are None taken out."""
    model = onnx.load(path)
    (entry,) = model.metadata_props
    assert entry.key == METADATA_KEY
    fields = json.loads(entry.value) | changes
    entry.value = json.dumps(
        {name: item for name, item in fields.items() if name not in changes or item is not None}
    )
    onnx.save(model, path)
    return path


def test_a_file_of_schema_version_1_runs_without_a_limit(tmp_path: Path) -> None:
    base = np.zeros((45, 12))
    base[VX_ROW, 0] = 5.0
    path = write_linear_policy(tmp_path / "p.onnx", base)
    runtime = PolicyRuntime(with_metadata(path, schema_version=1, max_target_step=None))
    assert runtime.contract.max_target_step is None
    assert runtime.step(some_state(), np.array([1.0, 0.0, 0.0])).action[0] == pytest.approx(10.0)


def test_a_limit_that_is_none_names_its_field(tmp_path: Path) -> None:
    path = with_metadata(write_linear_policy(tmp_path / "p.onnx", holding()), max_target_step=0.0)
    with pytest.raises(ContractError, match="max_target_step: expected a number above 0, found 0"):
        PolicyRuntime(path)


def test_a_missing_file_names_what_is_there(tmp_path: Path) -> None:
    write_linear_policy(tmp_path / "base.onnx")
    with pytest.raises(
        ContractError, match=r"no file .*bsae.onnx; its folder holds \['base.onnx'\]"
    ):
        PolicyRuntime(tmp_path / "bsae.onnx")


def test_a_file_whose_weights_were_left_behind_is_refused(tmp_path: Path) -> None:
    path = write_linear_policy(tmp_path / "p.onnx")
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="p.data", size_threshold=0
    )
    (tmp_path / "p.data").unlink()
    with pytest.raises(ContractError, match=r"an ONNX policy in one file, found .*p\.onnx"):
        PolicyRuntime(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(b"PK\x03\x04 this is a zip")
    with pytest.raises(ContractError, match=r"p\.onnx"):
        PolicyRuntime(tmp_path / "p.onnx")
