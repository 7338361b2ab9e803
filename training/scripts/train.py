#!/usr/bin/env python3
"""Train an Aliengo policy: `train.py --task aliengo_amp --output_name RUN --motion_files 'path/*.txt'`."""

import sys

from aliengo_training.isaac_import import before_torch

if __name__ == "__main__":
    before_torch(sys.argv)  # Isaac Gym must be imported before torch
    from aliengo_training.cli.train import main

    main()
