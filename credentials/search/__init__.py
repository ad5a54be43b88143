"""Finding anything by what people know of it: a name, a number, an id, a fingerprint. Never by a secret."""
