"""Novella's own API: what OpenStack's have no place for."""
