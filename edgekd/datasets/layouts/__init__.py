"""Data layouts: how a folder of training images is organised. One layout per file.

A layout has ``Config``, the recipe's ``[data.options]``; ``Training(folders, config, options, seed)``, whose item
``[index]`` is a (network input, target) pair that depends on (seed, index) alone, for any index from 0; and
``validation(folders, config, options)``, which yields one ``Item`` at a time.
"""
