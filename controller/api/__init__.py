"""The APIs, a dialect in each package; what they share is in `common`."""
