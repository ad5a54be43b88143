"""What the web side of every app shares: middleware, bounds of requests, tags and icons."""
