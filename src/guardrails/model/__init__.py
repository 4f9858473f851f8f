"""The values that every layer speaks of. They are frozen, and know nothing of I/O."""
