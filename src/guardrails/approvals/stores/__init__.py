"""Where approval requests are kept."""
