"""Consoles of servers: what their screens and serial lines say."""
