#!/usr/bin/env python3
"""Checkpoint to policy file: `export.py --checkpoint model_3000.pt --task aliengo_amp`."""

from aliengo_training.cli.export import main

if __name__ == "__main__":
    main()
