"""Training of walking policies for the Unitree Aliengo, from a reference motion to an ONNX file."""
