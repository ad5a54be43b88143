"""Speaking with servers outside: which addresses may be contacted, and calls that end."""
