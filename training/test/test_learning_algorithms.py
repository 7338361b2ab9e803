"""Identities and hand-worked numbers of the learning algorithms."""

from __future__ import annotations

import math

import pytest
import torch

from aliengo_training.gate import ResidualGate
from aliengo_training.learning.amp import RunningNormalizer
from aliengo_training.learning.distributed import World
from aliengo_training.learning.networks import (
    ActorCritic,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
    masked_mean,
    mlp,
)
from aliengo_training.learning.optimizer import FlatAdam
from aliengo_training.learning.ppo import Ppo, PpoConfig
from aliengo_training.learning.residual import (
    ActorCriticResidual,
    CommandGate,
    ResidualConfig,
    ResidualRegularizer,
    Schedule,
)
from aliengo_training.learning.storage import RolloutStorage, generalized_advantages
from aliengo_training.tasks.observations import COMMAND_SCALE, COMMAND_SLICE

CPU = torch.device("cpu")


def test_advantages_match_numbers_worked_out_by_hand() -> None:
    rewards = torch.tensor([[1.0], [2.0], [3.0]])
    values = torch.tensor([[0.5], [1.0], [1.5]])
    dones = torch.tensor([[0.0], [1.0], [0.0]])
    returns, advantages = generalized_advantages(
        rewards, values, torch.tensor([2.0]), dones, gamma=0.9, lam=0.8
    )
    # Step 2: 3 + 0.9 * 2 - 1.5; step 1 ends an episode: 2 - 1; step 0: 1 + 0.9 - 0.5 + 0.72 * 1.
    assert advantages.flatten().tolist() == pytest.approx([2.12, 1.0, 3.3])
    assert torch.equal(returns, advantages + values)


def test_gaussian_formulas_match_torch_distributions() -> None:
    torch.manual_seed(0)
    mean_p, mean_q, action = torch.randn(3, 7, 12)
    std_p, std_q = torch.rand(2, 7, 12) + 0.1
    p, q = (torch.distributions.Normal(m, s) for m, s in ((mean_p, std_p), (mean_q, std_q)))
    kl = torch.distributions.kl_divergence(p, q).sum(-1)
    assert torch.allclose(gaussian_kl(mean_p, std_p, mean_q, std_q), kl, atol=1e-4)
    assert torch.allclose(
        gaussian_log_prob(action, mean_p, std_p), p.log_prob(action).sum(-1), atol=1e-4
    )
    assert torch.allclose(gaussian_entropy(std_p), p.entropy().sum(-1), atol=1e-5)


def test_mlp_refuses_an_unknown_activation() -> None:
    with pytest.raises(ValueError, match="'gelu', allowed are elu"):
        mlp((2, 3), "gelu")


def test_storage_writes_at_its_cursor_and_wraps_around() -> None:
    storage = RolloutStorage(2, 3, {"reward": (), "action": (2,)}, CPU)
    for step in range(3):
        storage.write(reward=torch.full((3,), float(step)), action=torch.full((3, 2), float(step)))
        storage.advance()
    assert storage["reward"][:, 0].tolist() == [2.0, 1.0]
    assert storage.flat("action").shape == (6, 2)
    with pytest.raises(KeyError, match="no field 'value' in the rollout, there are action, reward"):
        storage["value"]


def test_flat_adam_equals_adam_with_clipping() -> None:
    torch.manual_seed(1)
    ours, reference = mlp((4, 8, 2), "elu"), mlp((4, 8, 2), "elu")
    reference.load_state_dict(ours.state_dict())
    flat = FlatAdam([{"params": list(ours.parameters())}], 1e-2, CPU, max_norm=0.5)
    adam = torch.optim.Adam(reference.parameters(), lr=1e-2)
    for _ in range(5):
        batch = torch.randn(16, 4)
        flat.zero_grad()
        ours(batch).square().sum().backward()
        flat.step()
        adam.zero_grad()
        reference(batch).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        adam.step()
    for a, b in zip(ours.parameters(), reference.parameters()):
        assert torch.allclose(a, b, atol=1e-6)


def test_normalizer_has_the_moments_of_all_that_it_saw() -> None:
    torch.manual_seed(2)
    normalizer = RunningNormalizer(3, clip=5.0)
    batches = [torch.randn(40, 3) * 2.0 + 1.0, torch.randn(70, 3) * 0.5 - 3.0]
    for batch in batches:
        normalizer.update(batch, World())
    seen = torch.cat(batches)
    assert torch.allclose(normalizer.mean, seen.mean(0), atol=1e-4)
    assert torch.allclose(normalizer.variance, seen.var(0, unbiased=False), rtol=1e-3)
    assert normalizer(torch.full((1, 3), 1e6)).tolist() == [[5.0, 5.0, 5.0]]


def _ppo(config: PpoConfig, envs: int = 64) -> tuple[ActorCritic, RolloutStorage, Ppo]:
    torch.manual_seed(3)
    model = ActorCritic(4, 4, 2, hidden=(16,), initial_std=0.5)
    storage = RolloutStorage(config.rollout_steps, envs, Ppo.rollout_fields(4, 4, 2), CPU)
    return model, storage, Ppo(model, storage, config, World(), CPU)


def test_noise_at_its_bound_can_grow_again() -> None:
    model, storage, ppo = _ppo(PpoConfig(rollout_steps=4, epochs=4, minibatches=2, entropy=1.0))
    with torch.no_grad():
        model.log_std.fill_(-8.0)
    for _ in range(3):
        _fill(model, storage)
        ppo.update(torch.zeros(storage.num_envs))
    assert (model.log_std > model.minimum_log_std).all()


def _fill(model: ActorCritic, storage: RolloutStorage) -> None:
    """One rollout in which a larger first action pays more."""
    with torch.no_grad():
        for _ in range(storage.steps):
            observation = torch.randn(storage.num_envs, 4)
            mean, std = model.policy(observation)
            action = mean + std * torch.randn_like(mean)
            storage.write(
                observation=observation,
                critic_observation=observation,
                action=action,
                mean=mean,
                log_prob=gaussian_log_prob(action, mean, std),
                value=model.value(observation),
                reward=action[:, 0],
                done=torch.ones(storage.num_envs),
            )
            storage.advance()


def test_ppo_moves_the_policy_towards_what_pays() -> None:
    model, storage, ppo = _ppo(PpoConfig(rollout_steps=8, epochs=4, minibatches=4))
    probe = torch.randn(100, 4)
    before = model.mean(probe)[:, 0].mean().item()
    for _ in range(10):
        _fill(model, storage)
        metrics = ppo.update(torch.zeros(storage.num_envs))
    assert model.mean(probe)[:, 0].mean().item() > before + 0.2
    assert all(math.isfinite(value) for value in metrics.values())


def test_learning_rate_falls_when_the_policy_moves_too_far() -> None:
    config = PpoConfig(rollout_steps=8, learning_rate=3e-3, target_kl=1e-6, clip=10.0)
    model, storage, ppo = _ppo(config)
    _fill(model, storage)
    metrics = ppo.update(torch.zeros(storage.num_envs))
    assert metrics["learning_rate"] == pytest.approx(config.learning_rate_range[0])


def test_ppo_refuses_minibatches_that_do_not_divide_the_rollout() -> None:
    with pytest.raises(ValueError, match="9 samples per rollout cannot be split into 4"):
        _ppo(PpoConfig(rollout_steps=3, minibatches=4), envs=3)


def _residual(bound: float = 4.0) -> tuple[ActorCritic, ActorCriticResidual]:
    torch.manual_seed(4)
    base = ActorCritic(45, 57, 12, hidden=(32, 16))
    with torch.no_grad():
        base.actor[-1].weight.normal_()
    model = ActorCriticResidual(
        45, 57, 12, (32, 16), "elu", ResidualConfig(hidden=(24,), bound=bound), (32, 16), CPU
    )
    model.load_base(base.state_dict())
    return base, model


def _observations(command: list[float], count: int = 50) -> torch.Tensor:
    observation = torch.randn(count, 45)
    observation[:, COMMAND_SLICE] = torch.tensor(command) * torch.tensor(COMMAND_SCALE)
    return observation


def test_a_fresh_residual_policy_acts_exactly_as_its_base() -> None:
    base, model = _residual()
    for command in ([0.5, 0.0, 0.0], [3.0, 1.5, -3.0]):
        observation = _observations(command)
        assert torch.equal(model.mean(observation), base.mean(observation))


def test_the_base_inside_a_residual_policy_learns_nothing() -> None:
    _, model = _residual()
    model.mean(_observations([3.0, 0.0, 0.0])).sum().backward()
    assert all(parameter.grad is None for parameter in model.base_actor.parameters())
    assert all(parameter.grad is not None for parameter in model.actor.parameters())
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert not trainable & {id(p) for p in model.base_actor.parameters()}


def test_the_residual_is_bounded_and_silent_inside_the_bases_commands() -> None:
    base, model = _residual(bound=1.5)
    with torch.no_grad():
        model.actor[-1].bias.fill_(50.0)
    fast, slow = _observations([3.0, 0.0, 0.0]), _observations([1.1, 0.3, -1.0])
    assert model.residual(fast).abs().max().item() <= 1.5
    assert torch.allclose(model.mean(fast) - base.mean(fast), torch.full((50, 12), 1.5), atol=1e-4)
    assert torch.equal(model.mean(slow), base.mean(slow))


def test_a_base_of_another_size_is_refused() -> None:
    _, model = _residual()
    other = ActorCritic(45, 57, 12, hidden=(8,))
    with pytest.raises(ValueError, match="does not fit the configured networks"):
        model.load_base(other.state_dict())


def test_the_gate_of_training_is_the_gate_of_the_file() -> None:
    gate = ResidualGate()
    command = torch.tensor([4.0, 3.0, 8.0]) * (torch.rand(500, 3) - 0.5)
    observation = torch.zeros(500, 45)
    observation[:, COMMAND_SLICE] = command * torch.tensor(COMMAND_SCALE)
    assert torch.allclose(CommandGate(gate, CPU)(observation), gate.opening(command), atol=1e-5)


def test_schedule_moves_linearly_and_stays() -> None:
    schedule = Schedule(2.0, 1.0, 10)
    assert [schedule.at(i) for i in (0, 5, 10, 99)] == [2.0, 1.5, 1.0, 1.0]
    assert Schedule(2.0, 1.0, 0).at(0) == 1.0


def test_regularizer_weighs_masked_kl_and_l2() -> None:
    _, model = _residual()
    config = ResidualConfig(lambda_kl=Schedule(0.0, 0.5, 2), lambda_l2=Schedule(3.0, 3.0, 0))
    storage = RolloutStorage(1, 4, {"observation": (45,), "base_mean": (12,)}, CPU)
    observation = torch.cat([_observations([0.5, 0.0, 0.0], 2), _observations([2.0, 0.0, 0.0], 2)])
    base_mean = torch.randn(4, 12)
    storage.write(observation=observation, base_mean=base_mean)
    regularizer = ResidualRegularizer(model, storage, config, CPU)
    assert regularizer.set_iteration(1)["lambda_kl"] == pytest.approx(0.25)
    mean, std = base_mean + 0.3, torch.full((4, 12), 0.4)
    loss, metrics = regularizer(torch.arange(4), mean, std)
    base = torch.distributions.Normal(base_mean[2:], model.base_std)
    kl = torch.distributions.kl_divergence(base, torch.distributions.Normal(mean[2:], std[2:]))
    assert metrics["kl_to_base"].item() == pytest.approx(kl.sum(-1).mean().item(), rel=1e-4)
    assert metrics["residual_l2"].item() == pytest.approx(12 * 0.09, rel=1e-4)
    assert loss.item() == pytest.approx(0.25 * kl.sum(-1).mean().item() + 3.0 * 12 * 0.09, rel=1e-4)


def test_masked_mean_of_nothing_is_zero() -> None:
    assert masked_mean(torch.ones(3), torch.zeros(3)).item() == 0.0
