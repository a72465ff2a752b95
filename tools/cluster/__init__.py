"""A real Kubernetes of one node on this machine: built from Go modules, in namespaces of its own, gone when it ends."""
