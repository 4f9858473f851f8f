"""The ledgers, one module a store. Import from the modules; none is loaded here."""
