"""Judging policies: randomised rollouts, their figures, tables and pictures."""
