"""Reading, running and counting ONNX graphs. Every ONNX file that edgekd opens is opened here."""
