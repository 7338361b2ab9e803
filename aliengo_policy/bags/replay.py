"""Feeds the recorded observations to a policy and compares its actions with the recorded ones.

`python -m aliengo_policy.bags.replay BAG` uses the recorded policy, found by the digest of its
weights inside the recording or in the models folder, and fails when an action differs. With
`--model FILE` it shows what another policy would have done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from aliengo_policy.bags.read import Bag, BagError
from aliengo_policy.bags.run import TOPICS, topic_prefix
from aliengo_policy.contract import (
    INPUT_NAME,
    OUTPUT_NAMES,
    ContractError,
    PolicyContract,
    read_contract,
)

__all__ = ["Replay", "ReplayError", "main", "replay"]

Array = npt.NDArray[Any]
TOLERANCE = 1e-5


class ReplayError(RuntimeError):
    """The recording cannot be replayed; the message says what is missing."""


@dataclass(frozen=True)
class Replay:
    """Comparison of recorded and recomputed actions over the steps in mode walk.

    Attributes:
        policy: Name of the policy that recomputed.
        weights_sha256: Its digest.
        steps: Number of steps compared.
        largest_difference: Of any action [action units].
        mean_difference: Mean absolute difference [action units].
        largest_target_difference_rad: The same as joint target.
        worst_step: Index among the compared steps.
    """

    policy: str
    weights_sha256: str
    steps: int
    largest_difference: float
    mean_difference: float
    largest_target_difference_rad: float
    worst_step: int


@dataclass(frozen=True)
class _Policy:
    name: str
    contract: PolicyContract
    session: onnxruntime.InferenceSession

    def act(self, observations: Array) -> tuple[Array, Array]:
        """Clipped actions of policy and base, one row per observation."""
        clip = self.contract.action_clip
        rows = []
        for observation in observations:
            # One by one, as on the robot: batches may round differently.
            outputs = self.session.run(OUTPUT_NAMES[:2], {INPUT_NAME: observation[None]})
            rows.append([np.clip(output[0], -clip, clip) for output in outputs])
        actions = np.array(rows)
        return actions[:, 0], actions[:, 1]


def replay(
    bag: Bag, model: Path | None = None, models: Path = Path("models"), namespace: str | None = None
) -> list[Replay]:
    """Recomputes the actions of a recording.

    Args:
        bag: The recording.
        model: Policy to use for every step; None uses the recorded one of each step.
        models: Folder that is searched for the recorded policies.
        namespace: Of the robot; None finds the only one.

    Returns:
        One result per recorded policy.

    Raises:
        BagError: If the recording has no topic of the robot, or several robots and none is named.
        ReplayError: If there is no step to replay, or a policy is not found or does not fit.
    """
    steps = _walking_steps(bag, topic_prefix(bag, namespace) + TOPICS["step"])
    results = []
    for digest in dict.fromkeys(steps["weights_sha256"]):
        rows = steps["weights_sha256"] == digest
        policy = _load(model.stem, model.read_bytes()) if model else _find(bag, models, digest)
        observations = np.stack(list(steps["observation"][rows])).astype(np.float32)
        size = policy.contract.observation_size
        if observations.shape[1] != size:
            raise ReplayError(
                f"policy {policy.name} takes {size} observations, "
                f"the recording has {observations.shape[1]}"
            )
        actions, base_actions = policy.act(observations)
        # The residual was off: after a fault of it the robot walks with the base alone.
        was_off = (steps["residual_action"][rows] == 0.0).all(axis=1)
        if model is None:
            actions = np.where(was_off[:, None], base_actions, actions)
        difference = np.abs(actions - steps["action"][rows])
        results.append(
            Replay(
                policy.name,
                policy.contract.weights_sha256,
                int(rows.sum()),
                float(difference.max()),
                float(difference.mean()),
                float((difference * np.array(policy.contract.action_scale)).max()),
                int(difference.max(axis=1).argmax()),
            )
        )
    return results


def _walking_steps(bag: Bag, topic: str) -> dict[str, Array]:
    names = ("mode", "weights_sha256", "observation", "action", "residual_action")
    try:
        values = bag.columns(topic, names).values
    except BagError as error:
        raise ReplayError(str(error)) from error
    missing = sorted(set(names) - set(values))
    if missing:
        raise ReplayError(f"{bag.path}: messages of {topic} lack {missing}")
    usable = (values["mode"] == "walk") & np.array([len(o) > 0 for o in values["observation"]])
    if not usable.any():
        modes = sorted(set(values["mode"].tolist()))
        raise ReplayError(f"{bag.path}: no step in mode walk; recorded modes are {modes}")
    return {name: value[usable] for name, value in values.items()}


def _candidates(bag: Bag, models: Path) -> Iterator[tuple[str, bytes]]:
    for name, data in bag.attachments.items():
        if name.endswith(".onnx"):
            yield Path(name).stem, data
    for path in sorted(models.glob("*.onnx")):
        yield path.stem, path.read_bytes()


def _find(bag: Bag, models: Path, digest: str) -> _Policy:
    seen = []
    for name, data in _candidates(bag, models):
        try:
            policy = _load(name, data)
        except ReplayError:
            seen.append(f"{name} (refused)")
            continue
        if policy.contract.weights_sha256 == digest:
            return policy
        seen.append(f"{name} ({policy.contract.weights_sha256[:8]})")
    raise ReplayError(
        f"the policy with weights {digest[:8]}… is neither in the recording nor in {models}; "
        f"found: {', '.join(seen) or 'none'}"
    )


def _load(name: str, data: bytes) -> _Policy:
    try:
        contract = read_contract(onnx.load_from_string(data))
    except (ContractError, ValueError) as error:
        raise ReplayError(f"policy {name}: {error}") from error
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return _Policy(name, contract, session)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="replay", description=__doc__)
    parser.add_argument("bag", type=Path, help="recording")
    parser.add_argument("--model", type=Path, help="what would this policy have done?")
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.add_argument("--namespace", help="of the robot, if several were recorded")
    options = parser.parse_args(arguments)
    try:
        results = replay(Bag(options.bag), options.model, options.models, options.namespace)
    except (BagError, ReplayError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(result) for result in results], indent=2))
    if options.model is None and any(r.largest_difference > TOLERANCE for r in results):
        print(f"replay: actions differ by more than {TOLERANCE}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
