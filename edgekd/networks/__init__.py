"""Networks that several pairs share, and checkpoint reading. State-dict keys are those of each network's library."""
