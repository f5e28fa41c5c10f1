"""The proof from outside: a ladder of checks for each tenant, and the isolation between tenants."""
