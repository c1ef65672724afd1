"""Datasets: folders of images to samples, on a workstation. Each file in ``layouts/`` reads one folder structure."""
