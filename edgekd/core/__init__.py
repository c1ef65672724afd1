"""The nouns every other room shares. Standard library and numpy only, so that a bare board can import them."""
