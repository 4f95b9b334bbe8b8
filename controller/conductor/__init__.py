"""The conductor: the only one that moves operations."""
