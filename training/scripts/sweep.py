#!/usr/bin/env python3
"""What a hyper-parameter trades: `sweep.py --vary residual.lambda_l2 0 0.01 --motion_files 'path/*.txt'`."""

from aliengo_training.cli.sweep import main

if __name__ == "__main__":
    main()
