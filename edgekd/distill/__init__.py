"""Distillation: teacher and student → checkpoint. ``_loop`` is the loop, every other file is one method."""
