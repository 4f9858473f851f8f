"""Policy engines: who answers when a call has to be decided."""
