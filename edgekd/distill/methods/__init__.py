"""Distillation methods. One method a file."""
