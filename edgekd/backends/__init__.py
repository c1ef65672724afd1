"""Backends: one engine library a file, each with a ``BACKEND`` (see ``core.protocols.Backend``)."""
