"""What the exit status of the portal's processes and commands means, beyond 0 (well) and 1 (an error)."""

WRONG_CALL = 2
REFUSED = 3
"""The process must not serve, or the command must not act; the reason was printed."""
INTERRUPTED = 130
NOBODY_READS = 141
