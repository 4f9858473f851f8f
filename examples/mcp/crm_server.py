"""A CRM as an MCP server, as somebody else might have written it: it knows nothing of policy."""

from typing import Any

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

READS = ToolAnnotations(read_only_hint=True)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False)

server: Any = MCPServer("crm")


@server.tool(annotations=READS)
def list_contacts(company: str) -> list[str]:
    """The people of a company."""
    return [f"Ada of {company}", f"Max of {company}"]


@server.tool(annotations=ADDS)
def create_task(title: str) -> str:
    """Leave a task for a person."""
    return f"task: {title}"


@server.tool(annotations=READS)
def list_salaries(company: str) -> list[int]:
    """What people earn there."""
    return [len(company) * 1000]


@server.tool()
def delete_contact(name: str) -> str:
    """Remove a person for ever."""
    return f"{name} is gone"


if __name__ == "__main__":
    server.run("stdio")
