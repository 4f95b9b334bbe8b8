"""JSON schemas of the compute API's bodies, a file for each noun."""
