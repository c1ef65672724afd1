"""Power sensors: one a file, each with the names of ``core.protocols.SensorModule``."""
