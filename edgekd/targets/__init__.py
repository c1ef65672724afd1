"""Targets: one board a file, each with a ``TARGET`` (see ``core.target.Target``), every number with its source."""
