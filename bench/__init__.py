"""Measurements. Each says what it compared, in one run, and how far its rounds were apart."""
