"""The training loop: act, step, store, reward, update, log, save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor

from aliengo_training.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from aliengo_training.learning.amp import MotionPrior
from aliengo_training.learning.capture import Replayed
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.distributed import World, seed_everything
from aliengo_training.learning.finite import (
    NonFiniteError,
    bad_metrics,
    bad_rollout,
    write_dump,
)
from aliengo_training.learning.networks import ActorCritic, gaussian_log_prob
from aliengo_training.learning.ppo import Ppo
from aliengo_training.learning.residual import ActorCriticResidual, ResidualRegularizer
from aliengo_training.learning.storage import RolloutStorage
from aliengo_training.sim.simulator import NUM_JOINTS
from aliengo_training.tasks.locomotion import CRITIC_OBSERVATION_SIZE, LocomotionTask
from aliengo_training.tasks.observations import OBSERVATION_SIZE
from aliengo_training.tasks.style import STYLE_STATE_SIZE, StyleReference


class OnPolicyRunner:
    """Trains a policy on a task.

    Args:
        task: The environments.
        model: Actor-critic or residual actor-critic, on the task's device.
        config: All hyper-parameters.
        reference: Reference motion; needed where `config.amp.style_weight` is not 0.
        world: Peers.
        capture: Replay everything as CUDA graphs where there is a GPU and the physics backend allows it.
    """

    def __init__(
        self,
        task: LocomotionTask,
        model: ActorCritic,
        config: ExperimentConfig,
        reference: Optional[StyleReference],
        world: Optional[World] = None,
        capture: bool = True,
    ) -> None:
        self.task, self.model, self.config = task, model, config
        self.world = world or World()
        self.device = task.device
        capture = capture and task.simulator.capturable
        self.iteration = 0
        self.environment_steps = 0
        self.prior: Optional[MotionPrior] = None
        if config.amp.style_weight > 0.0:
            if reference is None:
                raise ValueError(
                    "amp.style_weight > 0 needs a reference motion; give --motion_files"
                )
            self.prior = MotionPrior(reference, config.amp, self.world, self.device, capture)
        self.storage = self._make_storage()
        self._regularizer: Optional[ResidualRegularizer] = None
        if isinstance(model, ActorCriticResidual):
            self._regularizer = ResidualRegularizer(
                model, self.storage, config.residual, self.device
            )
        self.ppo = Ppo(
            model,
            self.storage,
            config.ppo,
            self.world,
            self.device,
            extra_loss=self._regularizer,
            extra_metrics=ResidualRegularizer.metrics if self._regularizer else (),
            capture=capture,
        )
        self._style_sum = torch.zeros((), device=self.device)
        self._collected_with = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._act = Replayed(self._act_step, self.device, capture)
        self._observe = Replayed(self._finish_step, self.device, capture)
        self._rewards = Replayed(self._combine_rewards, self.device, capture)
        self._synchronize_model()
        task.reset_all()

    def _make_storage(self) -> RolloutStorage:
        fields = Ppo.rollout_fields(OBSERVATION_SIZE, CRITIC_OBSERVATION_SIZE, NUM_JOINTS)
        fields.update(
            task_reward=(),
            timed_out=(),
            gait_speed=(),
            standing=(),
            style_state=(STYLE_STATE_SIZE,),
            next_style_state=(STYLE_STATE_SIZE,),
        )
        if isinstance(self.model, ActorCriticResidual):
            fields["base_mean"] = (NUM_JOINTS,)
        return RolloutStorage(
            self.config.ppo.rollout_steps, self.task.num_envs, fields, self.device
        )

    def _synchronize_model(self) -> None:
        for tensor in self.model.state_dict().values():
            self.world.broadcast_(tensor)
        if self.prior is not None:
            for tensor in self.prior.discriminator.state_dict().values():
                self.world.broadcast_(tensor)

    # -- one iteration -------------------------------------------------------------------------------------------

    def learn_iteration(self, folder: Optional[Path] = None) -> Dict[str, float]:
        """Collect one rollout and learn from it; returns the metrics of the iteration.

        Args:
            folder: Run folder for a dump of what is not finite.

        Raises:
            NonFiniteError: If the rollout, which is then not learned from, or the losses are not finite.
        """
        schedules = self._regularizer.set_iteration(self.iteration) if self._regularizer else {}
        started = time.perf_counter()
        self._collect()
        self._wait()
        collected = time.perf_counter()
        self._rewards()
        for name, value in self.model.state_dict().items():
            self._collected_with[name].copy_(value)
        self._refuse(bad_rollout(self.storage), folder, {})
        metrics = self._update()
        self._wait()
        ended = time.perf_counter()
        steps = self.storage.steps * self.task.num_envs * self.world.size
        metrics.update(schedules)
        metrics.update(self.task.pop_statistics())
        metrics.update(
            style_reward=float(self._style_sum),
            steps_per_s=steps / (ended - started),
            collect_s=collected - started,
            update_s=ended - collected,
        )
        self._refuse(bad_metrics(metrics), folder, metrics)
        self.iteration += 1
        self.environment_steps += steps
        return metrics

    def _collect(self) -> None:
        with torch.no_grad():
            for _ in range(self.storage.steps):
                self._act()
                self.task.simulator.step_physics()
                self._observe()

    @torch.no_grad()
    def _act_step(self) -> None:
        task, model = self.task, self.model
        mean, std = model.policy(task.observation)
        action = mean + std * torch.randn_like(mean)
        self.storage.write(
            observation=task.observation,
            critic_observation=task.critic_observation,
            action=action,
            mean=mean,
            log_prob=gaussian_log_prob(action, mean, std),
            value=model.value(task.critic_observation),
            style_state=task.style_state,
            gait_speed=task.gait_speed,
            standing=task.commands.standing,
        )
        if isinstance(model, ActorCriticResidual):
            self.storage.write(base_mean=model.base_mean(task.observation))
        task.begin_step(action)
        task.simulator.write_targets(task.joint_targets)

    @torch.no_grad()
    def _finish_step(self) -> None:
        task = self.task
        task.finish_step()
        self.storage.write(
            task_reward=task.reward,
            done=task.terminated | task.timed_out,
            timed_out=task.timed_out,
            next_style_state=task.final_style_state,
        )
        self.storage.advance()

    def _transitions(self) -> Tensor:
        storage = self.storage
        return torch.cat(
            [
                storage.flat("style_state"),
                storage.flat("next_style_state"),
                storage.flat("gait_speed").unsqueeze(-1),
            ],
            dim=-1,
        )

    @torch.no_grad()
    def _combine_rewards(self) -> None:
        """Lerp of style and task reward, with the value of what a time-out cut off."""
        storage, config = self.storage, self.config
        reward = storage["task_reward"]
        if self.prior is not None:
            walking = 1.0 - storage["standing"]
            style = self.prior.style_reward(self._transitions()).view_as(reward)
            self._style_sum.copy_((style * walking).sum() / walking.sum().clamp(min=1.0))
            # The reference only walks: standing still is judged by the task, at half the style reward.
            style = torch.where(walking > 0.5, style, torch.full_like(style, 0.5))
            weight = config.amp.style_weight
            reward = weight * config.amp.style_scale * style + (1.0 - weight) * reward
        reward = config.reward_scale * reward
        bootstrap = config.ppo.gamma * storage["value"] * storage["timed_out"]
        storage["reward"].copy_(reward + bootstrap)

    def _update(self) -> Dict[str, float]:
        with torch.no_grad():
            last_value = self.model.value(self.task.critic_observation)
        metrics = self.ppo.update(last_value)
        if self.prior is not None:
            metrics.update(self.prior.update(self._transitions()))
        return metrics

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # -- the run -------------------------------------------------------------------------------------------------

    def learn(
        self,
        folder: Optional[Path],
        on_iteration: Callable[[int, Dict[str, float]], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Train until `config.max_iterations` or until told to stop; the last state is always saved.

        Args:
            folder: Run folder for checkpoints; None saves nothing.
            on_iteration: Receives the iteration just finished and its metrics.
            should_stop: Asked after each iteration.

        Raises:
            NonFiniteError: If a rollout or the losses are no longer finite.
        """
        while self.iteration < self.config.max_iterations:
            metrics = self.learn_iteration(folder)
            on_iteration(self.iteration, metrics)
            stop = self._agree(should_stop())
            if folder is not None and (stop or self.iteration % self.config.save_interval == 0):
                self.save(folder)
            if stop:
                return
        if folder is not None and self.iteration % self.config.save_interval:
            self.save(folder)

    def _agree(self, stop: bool) -> bool:
        """All processes stop together."""
        if self.world.size == 1:
            return stop
        votes = torch.tensor(float(stop), device=self.device)
        self.world.average_(votes)
        return bool(votes > 0.0)

    def _refuse(self, bad: List[str], folder: Optional[Path], metrics: Dict[str, float]) -> None:
        """Raise if anything is not finite, after writing what it can be traced with."""
        if not bad:
            return
        iteration = self.iteration + 1
        where = "nowhere, no run folder was given"
        if folder is not None:
            path = folder / f"nonfinite_{iteration}.pt"
            write_dump(path, self.task, self.storage, self._collected_with, metrics)
            where = str(path)
        raise NonFiniteError(
            f"iteration {iteration}: {', '.join(bad)} not finite; state written to {where}"
        )

    def state_dict(self) -> Dict[str, Any]:
        """Everything that a resumed run needs, but the episodes in flight and the replay."""
        state: Dict[str, Any] = {
            "iteration": self.iteration,
            "environment_steps": self.environment_steps,
            "kind": self.config.kind,
            "task": self.config.task.name,
            "model": self.model.state_dict(),
            "optimizer": self.ppo.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        if self.prior is not None:
            state["prior"] = self.prior.state_dict()
        return state

    def save(self, folder: Path) -> None:
        """Write `model_<iteration>.pt` and the replay of the motion prior (main process only)."""
        if not self.world.is_main:
            return
        save_checkpoint(folder / f"model_{self.iteration}.pt", self.state_dict())
        if self.prior is not None:
            save_checkpoint(folder / "replay.pt", self.prior.replay_state())

    def _load_weights(self, state: Dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ppo.optimizer.load_state_dict(state["optimizer"])
        if self.prior is not None and "prior" in state:
            self.prior.load_state_dict(state["prior"])

    def load(self, path: Path) -> None:
        """Continue from a checkpoint: networks, optimisers, learning rate, normaliser, replay, RNG, counters.

        With peers the random numbers start anew, by rank and iteration: the file has only rank 0's.

        Raises:
            CheckpointError: If the checkpoint is of another kind of run or its networks have other sizes.
        """
        state = load_checkpoint(path, str(self.device))
        if state.get("kind") != self.config.kind:
            raise CheckpointError(
                f"{path} is of a {state.get('kind')} run, expected {self.config.kind} (--task)"
            )
        try:
            self._load_weights(state)
        except (RuntimeError, ValueError) as error:
            # torch lists every parameter; the first tells enough.
            lines = [line.strip() for line in str(error).splitlines() if "mismatch" in line]
            raise CheckpointError(
                f"{path} does not fit the configured networks (--cfg): {lines[0] if lines else error}"
            ) from error
        self.iteration = int(state["iteration"])
        self.environment_steps = int(state["environment_steps"])
        replay = path.parent / "replay.pt"
        if self.prior is not None and replay.is_file():
            self.prior.load_replay_state(load_checkpoint(replay, str(self.device)))
        if self.world.size > 1:
            seed_everything(self.config.seed, self.world, self.iteration)
            return
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
