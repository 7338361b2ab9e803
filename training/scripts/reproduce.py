#!/usr/bin/env python3
"""Make a shipped policy again: `reproduce.py base --motion_files 'path/*.txt'`."""

from aliengo_training.cli.reproduce import main

if __name__ == "__main__":
    main()
