"""Tasks: preprocessing, postprocessing and metric on numpy arrays. One task a file; runs on a bare board."""
