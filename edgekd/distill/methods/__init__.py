"""Distillation methods: one file is one method. ``edgekd.distill.method`` describes what a file must hold."""
