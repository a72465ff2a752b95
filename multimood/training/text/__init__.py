"""`multimood train text`: what all-mpnet-base-v2 is taught about feelings and about how supporters act."""
