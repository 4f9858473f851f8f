"""Notices to people: off the call's path, to every sink that is configured, or else recorded."""
