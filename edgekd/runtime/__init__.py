"""Runtime: ONNX → engine on the machine that will run it, and single images through an engine."""
