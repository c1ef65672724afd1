"""Runtime: ONNX → engine on the machine that will run it, and one image through an engine."""
