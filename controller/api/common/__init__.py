"""What every dialect needs: the way of a call, tokens, policy, validation."""
