"""Placement: providers of resources, what they have, and who has claimed how much of it."""
