"""Model sources: each file builds the networks of one library by name, for ``--model <file>:NAME?argument=value``."""
