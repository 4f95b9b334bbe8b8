"""The revisions, in order by their numbers."""
