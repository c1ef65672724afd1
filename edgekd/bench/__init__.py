"""Engine → result: latency, peak memory, accuracy, and the conditions they were taken under."""
