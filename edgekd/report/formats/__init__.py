"""Report formats. One format a file."""
