"""Questions to people about exact calls: who may answer, what counts, what is shown."""
