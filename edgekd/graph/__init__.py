"""Reading, checking, running and counting ONNX graphs; edgekd opens every ONNX file through this package."""
