"""Distill: teacher, student → checkpoint; calling the package runs the verb."""

import sys

from edgekd import VerbPackage

sys.modules[__name__].__class__ = VerbPackage
