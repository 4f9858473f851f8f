"""Runs: the current run, its account, its kill. Import from the modules; none is loaded here."""
