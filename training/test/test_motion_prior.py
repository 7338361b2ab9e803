"""The discriminator is shown experts and policy under the same speeds, and learns nothing from standing."""

from __future__ import annotations

from typing import Any, Dict

import pytest
import torch
from torch import Tensor, nn

from aliengo_training.learning.amp import AmpConfig, MotionPrior
from aliengo_training.learning.distributed import World
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.tasks.style import STYLE_STATE_SIZE, StyleConfig, StyleReference, gait_speed

CPU = torch.device("cpu")
WIDTH = 2 * STYLE_STATE_SIZE + 1
SLOWEST, FASTEST = StyleConfig().speed_range


@pytest.fixture
def reference() -> StyleReference:
    """A table of 20000 expert transitions."""
    return StyleReference([wavy_clip()], StyleConfig(table_size=20_000), 0.02, CPU)


def make_prior(reference: StyleReference, **changes: Any) -> MotionPrior:
    torch.manual_seed(0)
    options: Dict[str, Any] = {
        "hidden": (32, 16), "batch_size": 256, "replay_size": 512, "replay_inserts": 256, "updates": 4,
        "learning_rate": 2e-3,
    }  # fmt: skip
    return MotionPrior(reference, AmpConfig(**{**options, **changes}), World(), CPU)


def transitions(reference: StyleReference, speed: Tensor, offset: float) -> Tensor:
    """A policy's rollout: the reference's motion, `offset` standard deviations away from it."""
    rows = torch.randint(0, len(reference.speed), speed.shape)
    shift = offset * reference.first.std(0)
    return torch.cat(
        [reference.first[rows] + shift, reference.second[rows] + shift, speed[:, None]], -1
    )


def weights(prior: MotionPrior) -> Tensor:
    return torch.cat([p.detach().flatten() for p in prior.discriminator.parameters()])


def test_the_table_is_sorted_and_its_columns_belong_together(reference: StyleReference) -> None:
    speed = reference.speed
    assert (speed[1:] >= speed[:-1]).all()
    assert speed[0].item() == pytest.approx(SLOWEST, abs=1e-3)
    assert speed[-1].item() == pytest.approx(FASTEST, abs=1e-3)
    # Motion grows with the speed: the rows were carried along.
    motion = (reference.second - reference.first)[:, :12].norm(dim=-1)
    assert motion[-2000:].mean() > 2.0 * motion[:2000].mean()
    torch.manual_seed(3)
    state = reference.sample_states(torch.tensor([[0.8, 0.0, 0.0]]).repeat(50, 1))
    for joints in state.joint_positions:
        row = (reference.first[:, :12] - joints).abs().amax(-1).argmin()
        assert torch.equal(reference.first[row, :12], joints)
        assert speed[row].item() == pytest.approx(0.8, abs=0.02)


def test_experts_have_the_speed_of_what_they_are_set_against(reference: StyleReference) -> None:
    torch.manual_seed(1)
    # Speeds and numbers in place of the motion tell which rows were drawn.
    reference.first = reference.speed[:, None].expand(-1, STYLE_STATE_SIZE).clone()
    numbers = torch.arange(float(len(reference.speed)))
    reference.second = numbers[:, None].expand(-1, STYLE_STATE_SIZE).clone()
    asked = torch.cat([torch.linspace(SLOWEST, FASTEST, 5000), torch.full((5000,), FASTEST)])
    drawn, rows = (column[:, 0] for column in reference.sample_transitions(asked))
    window = 0.015 * (FASTEST - SLOWEST)
    assert (drawn - asked).abs().max().item() < window
    # Some of the rows of every speed are drawn, about as often as those of any other.
    share = torch.stack(
        [(drawn[:5000] == speed).float().sum() for speed in reference.speed.unique()]
    )
    assert share.min() > 0.25 * share.mean()
    # At the end of the table all of the window is drawn, not its last row again and again.
    assert len(rows[5000:].unique()) > 150
    faster, slower = (
        reference.sample_transitions(torch.full((100,), speed))[0][:, 0] for speed in (9.0, 0.0)
    )
    assert faster.min().item() > FASTEST - window
    assert slower.max().item() < SLOWEST + window


@pytest.mark.parametrize("fast", [False, True])
def test_the_speed_label_says_nothing_of_where_a_transition_comes_from(
    fast: bool, reference: StyleReference
) -> None:
    prior = make_prior(reference)
    seen = []

    class Recorder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, transition: Tensor) -> Tensor:
            seen.append(transition.detach())
            return self.scale * transition.sum(-1)

    prior.discriminator = Recorder()  # type: ignore[assignment]
    speed = 0.2 + 2.8 * torch.rand(4096) if fast else 0.3 + 0.4 * torch.rand(4096)
    speed[::8] = 0.0
    prior.update(transitions(reference, speed, 1.0))
    assert len(seen) == 8
    for expert, policy in zip(seen[::2], seen[1::2]):
        assert torch.equal(expert[:, -1], policy[:, -1])
        assert not torch.equal(expert[:, :-1], policy[:, :-1])
        # The slowest label would be that of those who stand.
        assert (policy[:, -1] > -1.0).all()


def test_the_discriminator_tells_two_gaussians_apart(reference: StyleReference) -> None:
    torch.manual_seed(2)
    reference.first = torch.randn_like(reference.first)
    reference.second = torch.randn_like(reference.second)
    prior = make_prior(reference, gradient_penalty=0.1, updates=100)
    speed = 0.2 + torch.rand(4096)
    policy = torch.cat([torch.randn(4096, WIDTH - 1) + 1.5, speed[:, None]], -1)
    for _ in range(3):
        metrics = prior.update(policy)
    assert metrics["expert_score"] > 0.5
    assert metrics["policy_score"] < -0.5
    expert = torch.cat([torch.randn(500, WIDTH - 1), 0.2 + torch.rand(500, 1)], -1)
    assert prior.style_reward(expert).mean() > prior.style_reward(policy[:500]).mean() + 0.5


def test_the_gradient_penalty_of_a_linear_discriminator_is_its_squared_weight(
    reference: StyleReference,
) -> None:
    prior = make_prior(reference, updates=1, gradient_penalty=5.0, batch_size=64)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-0.3, 0.5, WIDTH))

        def forward(self, transition: Tensor) -> Tensor:
            return transition @ self.weight

    linear = Linear()
    prior.discriminator = linear  # type: ignore[assignment]
    metrics = prior.update(transitions(reference, torch.full((512,), 0.6), 1.0))
    squared = linear.weight.square().sum().item()
    assert metrics["gradient_penalty"] == pytest.approx(squared, rel=1e-5)
    gradient = linear.weight.grad
    assert gradient is not None
    twice = make_prior(reference, updates=1, gradient_penalty=10.0, batch_size=64)
    other = Linear()
    twice.discriminator = other  # type: ignore[assignment]
    twice.update(transitions(reference, torch.full((512,), 0.6), 1.0))
    assert other.weight.grad is not None
    added = other.weight.grad - gradient
    # Of the penalty itself, 2 w: the same draws give the same errors.
    assert torch.allclose(added, 5.0 * 2.0 * linear.weight.detach(), atol=1e-4)


def test_standing_moves_neither_discriminator_nor_normaliser_nor_replay(
    reference: StyleReference,
) -> None:
    torch.manual_seed(4)
    speed = 0.2 + torch.rand(1024)
    speed[::3] = 0.0
    rollout = transitions(reference, speed, 0.5)
    odd = rollout.clone()
    odd[::3, :-1] = 1e6
    first, second = make_prior(reference), make_prior(reference)
    for prior, given in ((first, rollout), (second, odd)):
        torch.manual_seed(5)
        prior.update(given)
    assert torch.equal(weights(first), weights(second))
    assert torch.equal(first.normalizer.mean, second.normalizer.mean)
    assert torch.equal(first.replay, second.replay)
    assert (first.replay[:256, -1] > 0.0).all()
    assert not torch.equal(weights(first), weights(make_prior(reference))), "nothing was learned"


def test_a_rollout_in_which_everyone_stands_gives_no_gradient(reference: StyleReference) -> None:
    prior = make_prior(reference)
    metrics = prior.update(transitions(reference, torch.zeros(512), 1.0))
    assert not prior.optimizer.gradient.any()
    assert metrics["discriminator_loss"] == 0.0


def test_all_moving_rows_are_drawn_alike(reference: StyleReference) -> None:
    prior = make_prior(reference)
    moves = torch.arange(40) % 4 != 0
    rows = prior._draw_moving(moves.cumsum(0), 30_000)
    counts = torch.bincount(rows, minlength=40)
    assert not counts[~moves].any()
    # Five standard deviations of 1000 expected draws each.
    assert (counts[moves] - 1000).abs().max().item() < 5 * 1000**0.5


def test_the_normaliser_sees_the_table_at_the_rollouts_speeds(reference: StyleReference) -> None:
    """Not the table's first rows, which are its slowest."""
    prior = make_prior(reference)
    prior.normalizer.count.zero_()
    speed = torch.full((512,), FASTEST)
    rollout = torch.cat([torch.zeros(512, WIDTH - 1), speed[:, None]], -1)
    prior.update(rollout)
    expected = reference.first[-200:].square().mean(0) / 2.0
    seen = prior.normalizer.variance + prior.normalizer.mean.square()
    velocities = slice(24, 36)
    assert torch.allclose(seen[velocities], expected[velocities], rtol=0.35, atol=1e-3)


def test_a_starts_gait_fits_its_command(reference: StyleReference) -> None:
    torch.manual_seed(6)
    command = torch.zeros(400, 3)
    command[:200, 0], command[200:, 0] = 0.2, 1.4
    motion = reference.sample_states(command).joint_velocities.norm(dim=-1)
    assert gait_speed(command)[0].item() == pytest.approx(0.2)
    table = (10.0 * reference.first[:, 24:]).norm(dim=-1)
    for speed, drawn in ((0.2, motion[:200]), (1.4, motion[200:])):
        near = (reference.speed - speed).abs() < 0.02
        assert drawn.mean().item() == pytest.approx(table[near].mean().item(), rel=0.1)


def test_a_seed_fixes_every_draw(reference: StyleReference) -> None:
    results = []
    for _ in range(2):
        prior = make_prior(reference)
        torch.manual_seed(7)
        prior.update(transitions(reference, torch.rand(512), 1.0))
        results.append(weights(prior))
    assert torch.equal(results[0], results[1])
