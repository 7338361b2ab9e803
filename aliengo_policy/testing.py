"""Small policies that obey the contract, for tests and for trying the graph without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aliengo_description import robot
from aliengo_policy.contract import (
    ACTION_SIZE,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAMES,
    ObservationTerm,
    PolicyContract,
    ResidualGate,
    weights_digest,
)

OBSERVATION_TERMS = (
    ObservationTerm("base_angular_velocity", 3, (0.25,) * 3, (-100.0, 100.0)),
    ObservationTerm("projected_gravity", 3, (1.0,) * 3, (-100.0, 100.0)),
    ObservationTerm("velocity_command", 3, (2.0, 2.0, 0.25), (-100.0, 100.0)),
    ObservationTerm("joint_position_error", 12, (1.0,) * 12, (-100.0, 100.0)),
    ObservationTerm("joint_velocity", 12, (0.05,) * 12, (-100.0, 100.0)),
    ObservationTerm("last_action", 12, (1.0,) * 12, (-100.0, 100.0)),
)


EXAMPLE_RANGES = {"vx": (-1.0, 1.2), "vy": (-0.5, 0.5), "wz": (-1.5, 1.5)}
EXAMPLE_GATE = ResidualGate(speed=1.2, width=0.2, yaw_lever_m=0.3, base_ranges=EXAMPLE_RANGES)


def example_contract(kind: str = "base") -> PolicyContract:
    """A contract with nominal numbers; :func:`write_linear_policy` fills in the digest."""
    residual = kind == "residual"
    return PolicyContract(
        kind=kind,
        joint_names=robot.JOINT_NAMES,
        default_joint_positions=_floats(robot.DEFAULT_JOINT_POSITIONS),
        action_scale=_floats(np.broadcast_to(robot.ACTION_SCALE, ACTION_SIZE)),
        action_clip=100.0,
        kp=_floats(np.broadcast_to(robot.KP, ACTION_SIZE)),
        kd=_floats(np.broadcast_to(robot.KD, ACTION_SIZE)),
        torque_limits=_floats(robot.TORQUE_LIMITS),
        control_period_s=robot.CONTROL_PERIOD_S,
        history_length=1,
        observation_terms=OBSERVATION_TERMS,
        command_ranges=EXAMPLE_RANGES | ({"vx": (-1.0, 3.0)} if residual else {}),
        residual_gate=EXAMPLE_GATE if residual else None,
        residual_bound=2.0 if residual else None,
        max_target_step=None,
        training={"run": "none", "task": "linear", "iteration": 0, "git_commit": "none"},
        weights_sha256="0" * 64,
    )


def write_linear_policy(
    path: Path,
    base: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    contract: PolicyContract | None = None,
) -> Path:
    """Write a policy of two matrices: ``observation @ base`` and ``observation @ residual``.

    Args:
        path: file to write.
        base: (45, 12) matrix; zero, which stands at the default joint positions, if left out.
        residual: (45, 12) matrix; zero if left out.
        contract: metadata; :func:`example_contract` if left out. The digest is always the true one.

    Returns:
        ``path``.
    """
    contract = contract or example_contract("base" if residual is None else "residual")
    shape = (contract.observation_size, ACTION_SIZE)
    matrices = {
        "base_weight": np.zeros(shape) if base is None else base,
        "residual_weight": np.zeros(shape) if residual is None else residual,
    }
    nodes = [
        helper.make_node("MatMul", [INPUT_NAME, "base_weight"], ["base_action"]),
        helper.make_node("MatMul", [INPUT_NAME, "residual_weight"], ["residual_action"]),
        helper.make_node("Add", ["base_action", "residual_action"], ["action"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear_policy",
        [_tensor_info(INPUT_NAME, shape[0])],
        [_tensor_info(name, ACTION_SIZE) for name in OUTPUT_NAMES],
        [
            numpy_helper.from_array(value.astype(np.float32), name)
            for name, value in matrices.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contract = replace(contract, weights_sha256=weights_digest(model))
    model.metadata_props.add(key=METADATA_KEY, value=contract.to_json())
    onnx.save(model, path)
    return path


def _tensor_info(name: str, columns: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", columns])


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
