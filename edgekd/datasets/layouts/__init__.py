"""Data layouts: how a folder of training images is read. One layout a file."""
