"""Coverage: what every installation holds, what it is to hold, and what differs."""
