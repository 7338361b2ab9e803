"""The digital twin: a simulated Aliengo behind the real robot's UDP protocol."""
