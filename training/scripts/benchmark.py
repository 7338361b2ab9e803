#!/usr/bin/env python3
"""Measure the speed of training: `benchmark.py [--num_envs 4096 16384] [--rl_device cuda:0]`."""

from aliengo_training.cli.benchmark import main

if __name__ == "__main__":
    main()
