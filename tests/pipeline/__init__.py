"""Every stage, on networks small enough for seconds."""
