"""MCP: calls of tools are decided where a server receives them, or in front of any server.

:mod:`~guardrails.adapters.mcp.middleware` is for servers made with FastMCP,
:mod:`~guardrails.adapters.mcp.interceptor` for those made with the official SDK, and
:mod:`~guardrails.adapters.mcp.proxy` stands in front of servers of others. They need
``pip install 'guardrails-opa[mcp]'``; ``docs/mcp.md`` says how each is used.
"""
