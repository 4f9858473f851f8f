"""The record: what was decided and done, written down."""
