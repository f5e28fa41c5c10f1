"""TLS as a client sees it: handshakes, versions, cipher suites, certificates."""
