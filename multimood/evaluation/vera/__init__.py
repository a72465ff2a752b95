"""How safely the whole system talks with people at risk: simulated seekers, judged by a rubric in VERA-MH's format."""
