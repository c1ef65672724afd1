"""Convert: a checkpoint, or any ONNX file, → ONNX → smaller ONNX."""
