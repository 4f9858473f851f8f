"""An OPA server, spoken to over HTTP: one conversation, led by threads and by coroutines alike."""
