"""Commands of the project itself: checks, tests, collections."""
