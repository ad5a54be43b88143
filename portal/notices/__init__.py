"""Telling people by mail and webhook what happened: an outbox, written in the transaction of what is told."""
