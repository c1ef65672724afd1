"""FAMILY: one format a file, each with ``FILE_NAME`` and ``render(result, pictures) -> str``.

``pictures`` is what ``bench`` kept beside the result, an archive of samples (label → (N, H, W, 3) uint8), or None.
"""
