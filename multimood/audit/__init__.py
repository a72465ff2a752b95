"""The consistency checker: which one outcome every accepted utterance had, told from topics and experience log."""
