"""The nouns, shared by all dialects: a file each. Functions take the session and the context."""
