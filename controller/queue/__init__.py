"""Wake-ups: they shorten a wait, and losing one loses nothing."""
