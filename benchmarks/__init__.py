"""What the system costs: each benchmark is one command, prints ratios of paired runs, and can write JSON."""
