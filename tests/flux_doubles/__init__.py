"""A Flux without pods: its real controllers as processes against a simulated control plane, and a Git server."""
