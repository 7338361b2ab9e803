#!/usr/bin/env python3
"""Judge a policy: `evaluate.py --policy models/base.onnx`, or several: `--compare A B C`."""

from aliengo_training.cli.evaluate import main

if __name__ == "__main__":
    main()
