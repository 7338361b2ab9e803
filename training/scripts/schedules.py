#!/usr/bin/env python3
"""Warm-ups of a residual run, planned and logged: `schedules.py --load_run RUN`."""

from aliengo_training.cli.schedules import main

if __name__ == "__main__":
    main()
