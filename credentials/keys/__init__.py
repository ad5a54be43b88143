"""Keys: the ring that encrypts client secrets, the vault that opens them, and their replacement."""
