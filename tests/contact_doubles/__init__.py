"""Servers that stand where an API server or a proxy should be, for first contacts that go wrong."""
