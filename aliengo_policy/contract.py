"""What a policy file promises about itself, and the checks that it keeps the promise.

A policy is one ONNX file whose ``metadata_props["aliengo_policy"]`` holds one JSON object. The
robot's order, gains and limits, the observation and the command ranges are read from there and
nowhere else, so that a policy can never run with the numbers of another one. Every refusal names
the field, the value that was expected and the value that was found.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import onnx

from aliengo_description import robot

METADATA_KEY = "aliengo_policy"
SCHEMA_VERSION = 2
#: Fields that files of an earlier schema version lack, and what they mean there.
_EARLIER: dict[int, dict[str, object]] = {1: {"max_target_step": None}, SCHEMA_VERSION: {}}
KINDS = ("base", "residual", "finetune")
COMMAND_AXES = ("vx", "vy", "wz")
OUTPUT_NAMES = ("action", "base_action", "residual_action")
INPUT_NAME = "observation"
ACTION_SIZE = len(robot.JOINT_NAMES)


class ContractError(ValueError):
    """A policy file misses, or contradicts, a part of the contract.

    Args:
        name: the offending field, as a path such as ``observation_terms[2].scale``.
        expected: what is allowed there.
        found: what the file holds.
    """

    def __init__(self, name: str, expected: object, found: object) -> None:
        self.name = name
        super().__init__(f"policy contract: {name}: expected {expected}, found {found}")


@dataclass(frozen=True)
class ObservationTerm:
    """One block of the observation: ``clip(value * scale)``."""

    name: str
    size: int
    scale: tuple[float, ...]
    clip: tuple[float, float]


@dataclass(frozen=True)
class ResidualGate:
    """Where the residual is let in: closed inside the base's command ranges, open beyond them.

    Attributes:
        speed: forward command at which it starts to open [m/s].
        width: further command over which it opens fully [m/s].
        yaw_lever_m: speed that one rad/s of commanded turn rate counts for [m].
        base_ranges: command ranges of the base.
    """

    speed: float
    width: float
    yaw_lever_m: float
    base_ranges: Mapping[str, tuple[float, float]]

    def opening(self, command: np.ndarray) -> float:
        """Share of the residual, 0 to 1, for (3,) vx, vy, wz; the graph computes the same."""
        low, high = np.transpose([self.base_ranges[axis] for axis in COMMAND_AXES])
        outside = np.maximum(np.maximum(low - command, command - high), 0.0)
        excess = float(np.linalg.norm(outside * (1.0, 1.0, self.yaw_lever_m)))
        ratio = (excess - (self.speed - float(high[0]))) / self.width
        ratio = min(max(ratio, 0.0), 1.0)
        return ratio * ratio * (3.0 - 2.0 * ratio)


@dataclass(frozen=True)
class PolicyContract:
    """The metadata of one policy; all per-joint tuples hold 12 values in policy order.

    Attributes:
        kind: ``base``, ``residual`` or ``finetune``.
        default_joint_positions: joint angles of the zero action [rad].
        action_scale: joint angle per unit of action [rad].
        action_clip: bound on the raw action's magnitude.
        kp: proportional gains [N m/rad].
        kd: derivative gains [N m s/rad].
        torque_limits: [N m].
        control_period_s: time between two actions [s].
        command_ranges: accepted range of ``vx``, ``vy`` [m/s] and ``wz`` [rad/s].
        residual_gate: where the residual opens; only residual policies have one.
        residual_bound: largest magnitude of a residual action; only residual policies have one.
        max_target_step: largest change of a joint target between two steps [rad], to which the graph
            holds itself; None where it has no limit.
        training: run, task, iteration and git commit of the training.
        weights_sha256: digest of the graph's initialisers, see :func:`weights_digest`.
    """

    kind: str
    joint_names: tuple[str, ...]
    default_joint_positions: tuple[float, ...]
    action_scale: tuple[float, ...]
    action_clip: float
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_limits: tuple[float, ...]
    control_period_s: float
    history_length: int
    observation_terms: tuple[ObservationTerm, ...]
    command_ranges: Mapping[str, tuple[float, float]]
    residual_gate: ResidualGate | None
    residual_bound: float | None
    max_target_step: float | None
    training: Mapping[str, object]
    weights_sha256: str
    robot: str = "aliengo"
    schema_version: int = SCHEMA_VERSION
    observation_size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "observation_size", sum(term.size for term in self.observation_terms)
        )

    def to_json(self) -> str:
        """Metadata JSON in full precision, as :func:`parse_contract` reads it."""
        fields = asdict(self)
        del fields["observation_size"]
        return json.dumps(fields, allow_nan=False)


def parse_contract(text: str) -> PolicyContract:
    """Read the metadata JSON and check every field of it.

    Raises:
        ContractError: naming the first field that is missing, unknown or of a wrong value.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ContractError(METADATA_KEY, "a JSON object", f"invalid JSON ({error})") from None
    if not isinstance(data, dict):
        raise ContractError(METADATA_KEY, "a JSON object", type(data).__name__)
    if "schema_version" not in data:
        raise ContractError("schema_version", SCHEMA_VERSION, "nothing")
    version = data["schema_version"]
    if type(version) is not int or version not in _EARLIER:
        raise ContractError("schema_version", f"one of {sorted(_EARLIER)}", repr(version))
    for name, meaning in _EARLIER[version].items():
        if data.setdefault(name, meaning) != meaning:
            raise ContractError(name, f"nothing in schema version {version}", data[name])
    _check_keys("", data, tuple(_PARSERS))
    values = {name: parser(name, data[name]) for name, parser in _PARSERS.items()}
    contract = PolicyContract(**values)
    is_residual = contract.kind == "residual"
    for name in ("residual_gate", "residual_bound"):
        if (getattr(contract, name) is not None) != is_residual:
            expected = (
                f"a value for kind {contract.kind!r}"
                if is_residual
                else f"null for kind {contract.kind!r}"
            )
            raise ContractError(name, expected, data[name])
    return contract


def weights_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over the initialisers in name order: name, type, dimensions, little-endian values."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda item: item.name):
        header = (tensor.name, str(tensor.data_type), ",".join(str(size) for size in tensor.dims))
        digest.update(b"".join(part.encode() + b"\0" for part in header))
        digest.update(onnx.numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def read_contract(model: onnx.ModelProto) -> PolicyContract:
    """Contract of a loaded model, checked against the model's own inputs, outputs and weights.

    Raises:
        ContractError: when the metadata is absent or wrong, or when the graph contradicts it.
    """
    properties = {item.key: item.value for item in model.metadata_props}
    if METADATA_KEY not in properties:
        raise ContractError(
            f"metadata_props[{METADATA_KEY!r}]", "the policy's JSON", f"only {sorted(properties)}"
        )
    contract = parse_contract(properties[METADATA_KEY])
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {item.name: item for item in model.graph.input if item.name not in weights}
    outputs = {item.name: item for item in model.graph.output}
    if set(inputs) != {INPUT_NAME}:
        raise ContractError("graph inputs", [INPUT_NAME], sorted(inputs))
    if set(outputs) != set(OUTPUT_NAMES):
        raise ContractError("graph outputs", sorted(OUTPUT_NAMES), sorted(outputs))
    _check_tensor(inputs[INPUT_NAME], contract.observation_size)
    for item in outputs.values():
        _check_tensor(item, ACTION_SIZE)
    found = weights_digest(model)
    if found != contract.weights_sha256:
        raise ContractError(
            "weights_sha256", f"{contract.weights_sha256} (metadata)", f"{found} (weights)"
        )
    return contract


def _check_tensor(value: onnx.ValueInfoProto, columns: int) -> None:
    tensor = value.type.tensor_type
    shape = [size.dim_value if size.HasField("dim_value") else "batch" for size in tensor.shape.dim]
    if len(shape) != 2 or shape[1] != columns:
        raise ContractError(f"shape of {value.name}", f"[batch, {columns}]", shape)
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        raise ContractError(
            f"type of {value.name}", "FLOAT", onnx.TensorProto.DataType.Name(tensor.elem_type)
        )


def _require_equal(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise ContractError(name, repr(expected), repr(found))


def _check_keys(prefix: str, data: object, names: Sequence[str]) -> None:
    if not isinstance(data, dict):
        raise ContractError(prefix.rstrip("."), f"an object with {list(names)}", repr(data))
    for name in names:
        if name not in data:
            raise ContractError(prefix + name, "a value", f"nothing; present are {sorted(data)}")
    for name in data:
        if name not in names:
            raise ContractError(prefix + name, f"one of {sorted(names)}", "an unknown field")


def _number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ContractError(name, "a finite number", repr(value))
    if not low <= value <= high:
        raise ContractError(name, f"a number in [{low}, {high}]", value)
    return float(value)


def _positive(name: str, value: object) -> float:
    number = _number(name, value)
    if number <= 0.0:
        raise ContractError(name, "a number above 0", value)
    return number


def _numbers(name: str, value: object, size: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != size:
        found = f"{len(value)} values" if isinstance(value, list) else repr(value)
        raise ContractError(name, f"{size} numbers", found)
    return tuple(_number(f"{name}[{index}]", item) for index, item in enumerate(value))


def _per_joint(
    low: float | np.ndarray, high: float | np.ndarray
) -> Callable[[str, object], tuple[float, ...]]:
    lower, upper = np.broadcast_to(low, ACTION_SIZE), np.broadcast_to(high, ACTION_SIZE)

    def parse(name: str, value: object) -> tuple[float, ...]:
        numbers = _numbers(name, value, ACTION_SIZE)
        for index, joint in enumerate(robot.JOINT_NAMES):
            _number(
                f"{name}[{index}] ({joint})",
                numbers[index],
                float(lower[index]),
                float(upper[index]),
            )
        return numbers

    return parse


def _parse_joint_names(name: str, value: object) -> tuple[str, ...]:
    _require_equal(name, value, list(robot.JOINT_NAMES))
    return robot.JOINT_NAMES


def _parse_kind(name: str, value: object) -> str:
    if value not in KINDS:
        raise ContractError(name, f"one of {list(KINDS)}", repr(value))
    return str(value)


def _parse_interval(name: str, value: object) -> tuple[float, float]:
    low, high = _numbers(name, value, 2)
    if low > high:
        raise ContractError(name, "[low, high] with low <= high", value)
    return low, high


def _parse_terms(name: str, value: object) -> tuple[ObservationTerm, ...]:
    if not isinstance(value, list) or not value:
        raise ContractError(name, "a list of observation terms", repr(value))
    terms = []
    for index, item in enumerate(value):
        prefix = f"{name}[{index}]."
        _check_keys(prefix, item, ("name", "size", "scale", "clip"))
        size = item["size"]
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ContractError(prefix + "size", "a positive integer", repr(size))
        scale = _numbers(prefix + "scale", item["scale"], size)
        terms.append(
            ObservationTerm(
                str(item["name"]), size, scale, _parse_interval(prefix + "clip", item["clip"])
            )
        )
    return tuple(terms)


def _parse_ranges(name: str, value: object) -> dict[str, tuple[float, float]]:
    _check_keys(f"{name}.", value, COMMAND_AXES)
    assert isinstance(value, dict)
    return {axis: _parse_interval(f"{name}.{axis}", value[axis]) for axis in COMMAND_AXES}


def _parse_gate(name: str, value: object) -> ResidualGate | None:
    if value is None:
        return None
    _check_keys(f"{name}.", value, ("speed", "width", "yaw_lever_m", "base_ranges"))
    assert isinstance(value, dict)
    ranges = _parse_ranges(f"{name}.base_ranges", value["base_ranges"])
    return ResidualGate(
        speed=_number(f"{name}.speed", value["speed"], ranges["vx"][1]),
        width=_positive(f"{name}.width", value["width"]),
        yaw_lever_m=_positive(f"{name}.yaw_lever_m", value["yaw_lever_m"]),
        base_ranges=ranges,
    )


def _parse_training(name: str, value: object) -> dict[str, object]:
    _check_keys(f"{name}.", value, ("run", "task", "iteration", "git_commit"))
    assert isinstance(value, dict)
    return dict(value)


def _parse_digest(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ContractError(name, "64 lower-case hexadecimal digits", repr(value))
    return value


def _parse_history(name: str, value: object) -> int:
    # The runtime keeps no history: a longer one would silently repeat the newest observation.
    _require_equal(name, value, 1)
    return 1


def _parse_robot(name: str, value: object) -> str:
    _require_equal(name, value, "aliengo")
    return "aliengo"


# Gains beyond those that the bridge passes on would bring the robot down as it begins to walk.
_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "schema_version": lambda name, value: value,
    "kind": _parse_kind,
    "robot": _parse_robot,
    "joint_names": _parse_joint_names,
    "default_joint_positions": _per_joint(robot.JOINT_LOWER, robot.JOINT_UPPER),
    "action_scale": _per_joint(1e-3, 2.0),
    "action_clip": _positive,
    "kp": _per_joint(1.0, robot.KP_MAX),
    "kd": _per_joint(0.0, robot.KD_MAX),
    "torque_limits": _per_joint(1.0, robot.TORQUE_LIMITS),
    # At most half of the time after which the bridge takes a silent commander for dead.
    "control_period_s": lambda name, value: _number(name, value, 0.002, 0.05),
    "history_length": _parse_history,
    "observation_terms": _parse_terms,
    "command_ranges": _parse_ranges,
    "residual_gate": _parse_gate,
    "residual_bound": lambda name, value: None if value is None else _positive(name, value),
    "max_target_step": lambda name, value: None if value is None else _positive(name, value),
    "training": _parse_training,
    "weights_sha256": _parse_digest,
}
