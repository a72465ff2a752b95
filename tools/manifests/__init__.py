"""`make manifests`: what of k8s/ is made from the code, and everything of it rendered and checked."""
