"""Datasets: folders of pictures into samples, on a workstation. One data layout a file."""
