"""Removing a person: from the key store, the broker, the media, the experience log and its exports, with a record."""
