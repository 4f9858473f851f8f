"""OPA's decision logs: decisions as OPA writes them, masked, packed and sent to a log service.

There is one durable log, the record; what is sent is read from it. A cursor says how far, and it
moves once the service has taken a chunk: each decision arrives at least once, under its id.
"""
