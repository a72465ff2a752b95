"""The same join written by hand on other clients and frameworks, each a process: what ours is measured against."""
