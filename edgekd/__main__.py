"""``python -m edgekd``: the same as the ``edgekd`` command, and what ``torchrun -m edgekd`` starts."""

from edgekd.cli import main

if __name__ == "__main__":
    main()
