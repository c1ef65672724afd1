"""edgekd's tests."""
