"""Tasks: preprocessing, postprocessing and metrics on numpy arrays. One task per file; runs on a bare board."""
