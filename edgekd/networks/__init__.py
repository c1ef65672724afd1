"""Networks that several pairs share, one file a family: torch only, state-dict keys of the library they come from."""
