"""Image v2, as Glance has it."""
