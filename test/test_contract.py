"""A policy file that misses or contradicts its contract is refused by name."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from aliengo_policy.contract import (
    METADATA_KEY,
    ContractError,
    parse_contract,
    read_contract,
    weights_digest,
)
from aliengo_policy.testing import EXAMPLE_GATE, example_contract, write_linear_policy


def edited(**changes: Any) -> str:
    """JSON of a valid contract with some fields replaced."""
    return json.dumps(json.loads(example_contract().to_json()) | changes)


@pytest.mark.parametrize("kind", ["base", "residual", "finetune"])
def test_json_round_trip_keeps_every_bit(kind: str) -> None:
    contract = replace(
        example_contract(kind), kp=tuple(60.0 + 0.1 * index / 3.0 for index in range(12))
    )
    assert parse_contract(contract.to_json()) == contract


def test_a_limit_on_the_targets_step_comes_back() -> None:
    contract = replace(example_contract(), max_target_step=0.1 + 0.7 / 3.0)
    assert parse_contract(contract.to_json()) == contract
    assert parse_contract(edited(max_target_step=None)).max_target_step is None


def test_a_file_of_schema_version_1_has_no_limit_on_its_step() -> None:
    fields = json.loads(edited(schema_version=1))
    del fields["max_target_step"]
    contract = parse_contract(json.dumps(fields))
    assert contract.max_target_step is None
    assert replace(contract, schema_version=2) == example_contract()


def test_swapped_legs_are_refused_with_both_orders() -> None:
    names = list(example_contract().joint_names)
    swapped = names[3:6] + names[:3] + names[6:]
    with pytest.raises(ContractError, match=r"joint_names: expected \['FL_hip.*found \['FR_hip"):
        parse_contract(edited(joint_names=swapped))


@pytest.mark.parametrize("name", sorted(json.loads(example_contract().to_json())))
def test_a_missing_field_is_named(name: str) -> None:
    fields = json.loads(example_contract().to_json())
    del fields[name]
    with pytest.raises(ContractError, match=name) as caught:
        parse_contract(json.dumps(fields))
    assert "nothing" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 3}, r"schema_version: expected one of \[1, 2\], found 3"),
        ({"schema_version": True}, r"schema_version: expected one of \[1, 2\], found True"),
        ({"schema_version": "2"}, r"schema_version: expected one of \[1, 2\], found '2'"),
        ({"schema_version": [1]}, r"schema_version: expected one of \[1, 2\], found \[1\]"),
        ({"schema_version": 1.0}, r"schema_version: expected one of \[1, 2\], found 1\.0"),
        (
            {"schema_version": 1, "max_target_step": 0.3},
            r"max_target_step: expected nothing in schema version 1, found 0\.3",
        ),
        ({"kind": "other"}, "kind: expected one of"),
        ({"robot": "go1"}, "robot: expected 'aliengo', found 'go1'"),
        ({"kp": [60.0] * 11}, "kp: expected 12 numbers, found 11 values"),
        ({"kp": [60.0] * 11 + [float("nan")]}, r"kp\[11\]: expected a finite number"),
        ({"kd": [2.0] * 11 + [50.0]}, r"kd\[11\] \(RR_calf_joint\)"),
        ({"kp": [121.0] + [60.0] * 11}, r"kp\[0\] \(FL_hip_joint\).*120.*found 121"),
        ({"torque_limits": [55.0] * 12}, r"torque_limits\[0\] \(FL_hip_joint\).*found 55.0"),
        (
            {"default_joint_positions": [0.0] * 12},
            r"default_joint_positions\[2\] \(FL_calf_joint\)",
        ),
        ({"action_clip": 0.0}, "action_clip: expected a number above 0"),
        (
            {"control_period_s": 0.1},
            "control_period_s: expected a number in \\[0.002, 0.05\\], found 0.1",
        ),
        ({"control_period_s": True}, "control_period_s: expected a finite number, found True"),
        ({"history_length": 4}, "history_length: expected 1, found 4"),
        ({"observation_terms": []}, "observation_terms: expected a list"),
        ({"command_ranges": {"vx": [0, 1], "vy": [0, 1]}}, "command_ranges.wz"),
        ({"command_ranges": {"vx": [1, 0], "vy": [0, 1], "wz": [0, 1]}}, "command_ranges.vx"),
        (
            {"residual_gate": asdict(EXAMPLE_GATE)},
            "residual_gate: expected null for kind 'base'",
        ),
        ({"weights_sha256": "abc"}, "weights_sha256: expected 64"),
        ({"max_target_step": 0.0}, "max_target_step: expected a number above 0, found 0.0"),
        ({"max_target_step": -0.3}, "max_target_step: expected a number above 0, found -0.3"),
        ({"max_target_step": True}, "max_target_step: expected a finite number, found True"),
        ({"max_target_step": "0.3"}, "max_target_step: expected a finite number, found '0.3'"),
        ({"surprise": 1}, "surprise: expected one of .* found an unknown field"),
    ],
)
def test_a_wrong_field_is_named_with_both_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        parse_contract(edited(**changes))


def test_a_residual_policy_needs_its_gate_and_its_bound() -> None:
    fields = json.loads(example_contract("residual").to_json())
    for name in ("residual_gate", "residual_bound"):
        with pytest.raises(ContractError, match=f"{name}: expected a value for kind 'residual'"):
            parse_contract(json.dumps(fields | {name: None}))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ContractError, match="invalid JSON"):
        parse_contract("{")
    with pytest.raises(ContractError, match="expected a JSON object, found list"):
        parse_contract("[]")


def test_gate_is_closed_inside_the_bases_ranges_and_opens_smoothly() -> None:
    gate = EXAMPLE_GATE
    for inside in ([0.0, 0.0, 0.0], [1.2, 0.5, -1.5], [-1.0, -0.5, 1.5]):
        assert gate.opening(np.array(inside)) == 0.0
    assert gate.opening(np.array([1.3, 0.0, 0.0])) == pytest.approx(0.5)
    assert gate.opening(np.array([1.4, 0.0, 0.0])) == pytest.approx(1.0)
    assert gate.opening(np.array([0.0, -0.6, 0.0])) == pytest.approx(0.5)
    assert gate.opening(np.array([0.0, 0.0, 1.5 + 0.1 / 0.3])) == pytest.approx(0.5)


def test_metadata_must_be_there(tmp_path: Path) -> None:
    model = onnx.load(write_linear_policy(tmp_path / "policy.onnx"))
    del model.metadata_props[:]
    model.metadata_props.add(key="author", value="somebody")
    with pytest.raises(ContractError, match=rf"{METADATA_KEY}.*found only \['author'\]"):
        read_contract(model)


def test_a_changed_weight_is_noticed(tmp_path: Path) -> None:
    model = onnx.load(write_linear_policy(tmp_path / "policy.onnx"))
    digest = weights_digest(model)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[3, 4] = 1e-30
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight, model.graph.initializer[0].name)
    )
    assert weights_digest(model) != digest
    with pytest.raises(ContractError, match=f"weights_sha256: expected {digest}"):
        read_contract(model)


def test_a_graph_of_the_wrong_width_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_linear_policy(tmp_path / "policy.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 48
    with pytest.raises(
        ContractError, match=r"shape of observation: expected \[batch, 45\], found \['batch', 48\]"
    ):
        read_contract(model)


def test_a_graph_without_a_residual_output_is_refused(tmp_path: Path) -> None:
    model = onnx.load(write_linear_policy(tmp_path / "policy.onnx"))
    del model.graph.output[2]
    with pytest.raises(ContractError, match=r"graph outputs.*residual_action"):
        read_contract(model)
