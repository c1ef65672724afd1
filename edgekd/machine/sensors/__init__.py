"""Power sensors: one reader a file, each with ``SEES`` and ``find`` (see ``PowerReader`` in ``core.protocols``)."""
