"""Machine: what this machine is, its clocks, temperatures and sensors."""
