"""How many robots a GPU is given, and that the counts behind it are still those of the code."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
import torch

from aliengo_training.cli import benchmark, train
from aliengo_training.learning.memory import (
    CPU_NUM_ENVS,
    LEARNING_BYTES_PER_ENV,
    RESERVE_BYTES,
    SIMULATOR_BYTES,
    counted_bytes,
    fitting_num_envs,
)
from aliengo_training.learning.ppo import Ppo
from aliengo_training.tasks.observations import OBSERVATION_SIZE

GIB = 2**30


def test_memory_halves_the_robots_until_they_fit() -> None:
    assert fitting_num_envs(140 * GIB, "mujoco_warp", 16384) == 16384
    for free in (2 * GIB, 3 * GIB, 7 * GIB):
        fitting = fitting_num_envs(free, "mujoco_warp", 65536)
        assert 2 * counted_bytes(fitting) + RESERVE_BYTES <= free
        assert 2 * counted_bytes(2 * fitting) + RESERVE_BYTES > free
    # As the documentation says of an empty card with 8 GB.
    assert fitting_num_envs(int(7.4 * GIB), "isaacgym", 16384) == 4096
    with pytest.raises(ValueError, match=r"1\.2 GiB of free GPU memory are too little for 256"):
        fitting_num_envs(int(1.2 * GIB), "mujoco_warp", 16384)


def test_the_rollout_is_within_what_was_counted() -> None:
    fields = Ppo.rollout_fields(OBSERVATION_SIZE, 57, 12)
    floats = sum(int(torch.Size(shape).numel()) for shape in fields.values())
    assert 16 * 4 * floats < LEARNING_BYTES_PER_ENV


@pytest.mark.skipif(importlib.util.find_spec("mujoco_warp") is None, reason="no mujoco_warp")
def test_a_robots_arrays_in_warp_are_what_was_counted() -> None:
    from aliengo_training.sim.mujoco_warp import MujocoWarpSimulator

    few, many = (MujocoWarpSimulator(count, "cpu").array_bytes() for count in (16, 48))
    # The count is that of model and data; the simulator's own buffers are small.
    assert (many - few) / 32 == pytest.approx(SIMULATOR_BYTES["mujoco_warp"], rel=0.05)


def test_num_envs_of_the_command_line_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(train, "free_gpu_bytes", lambda device: 2 * GIB)
    for arguments, expected in (
        (["--num_envs", "4096"], 4096),
        (["--cfg.num_envs", "16384"], 16384),
        (["--cfg.num-envs=512"], 512),
    ):
        assert train._fitted(train.parse(arguments), "cuda:0").cfg.num_envs == expected
    assert not capsys.readouterr().out
    chosen = train._fitted(train.parse([]), "cuda:0").cfg.num_envs
    assert chosen == fitting_num_envs(2 * GIB, "mujoco_warp", 16384) < 16384
    assert f"{chosen} robots instead of 16384" in capsys.readouterr().out
    monkeypatch.setattr(train, "free_gpu_bytes", lambda device: None)
    assert train._fitted(train.parse([]), "cpu").cfg.num_envs == CPU_NUM_ENVS
    assert f"{CPU_NUM_ENVS} robots instead of 16384 on cpu" in capsys.readouterr().out
    assert train._fitted(train.parse(["--cfg.num_envs", "512"]), "cpu").cfg.num_envs == 512
    with pytest.raises(ValueError, match="--num_envs is 0"):
        train.parse(["--num_envs", "0"])


def test_a_benchmark_reports_memory_for_each_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = benchmark.BenchmarkArgs(
        num_envs=(8, 4), sim="mujoco", rl_device="cpu", iterations=1, warm_up=0,
        output=tmp_path / "bench.json",
    )  # fmt: skip
    small = benchmark.experiment("aliengo_amp")
    small = dataclasses.replace(
        small,
        ppo=dataclasses.replace(small.ppo, rollout_steps=2, epochs=1),
        amp=dataclasses.replace(small.amp, batch_size=16, updates=1, replay_size=64),
    )
    monkeypatch.setattr(benchmark, "experiment", lambda task: small)
    benchmark.run(args)
    results = json.loads(args.output.read_text())["results"]
    assert [row["num_envs"] for row in results] == [4.0, 8.0]
    assert results[1]["counted_gib"] * GIB == counted_bytes(8, "mujoco")
