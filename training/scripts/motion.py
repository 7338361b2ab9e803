#!/usr/bin/env python3
"""Reference motions: `motion.py check|plot|play|mirror|synthesize|retarget` (see `--help`)."""

from aliengo_training.cli.motion import main

if __name__ == "__main__":
    main()
