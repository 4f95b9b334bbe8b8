"""Identity v3, as Keystone has it."""
