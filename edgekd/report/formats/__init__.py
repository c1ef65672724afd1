"""FAMILY: report formats, one a file, each with ``FILE_NAME`` and ``render``, ``render_verdict``, or both.

The protocols are in ``edgekd.report.format``.
"""
