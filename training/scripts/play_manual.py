#!/usr/bin/env python3
"""Drive a policy: `play_manual.py --task TASK --load_run RUN [--checkpoint N --headless]`."""

import sys

from aliengo_training.isaac_import import before_torch

if __name__ == "__main__":
    before_torch(sys.argv)  # Isaac Gym must be imported before torch
    from aliengo_training.cli.play_manual import main

    main()
