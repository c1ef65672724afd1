"""Pipeline: the stages in order, from a checkpoint or an ONNX file to a report."""
