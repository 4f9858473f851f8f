"""An agent's host that speaks MCP, and finds a proxy where it expects a server.

    guardrails mcp approve crm       # once: look at the server's tools
    python agent.py

The script stands in for a model: it sees what tools there are, and calls four.
"""

import asyncio
import sys
from pathlib import Path

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

HERE = Path(__file__).parent
PROXY = StdioServerParameters(
    command=str(Path(sys.executable).with_name("guardrails")),
    args=["mcp", "proxy", "--config", "mcp.json", "--agent", "billing"],
    cwd=HERE,
)
CALLS = [
    ("list_contacts", {"company": "Brandt"}),
    ("create_task", {"title": "call Ada"}),
    ("list_salaries", {"company": "Brandt"}),
    ("delete_contact", {"name": "Ada"}),
]


async def main() -> None:
    """Show the tools, and what each call gives."""
    async with Client(PROXY) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        print(f"tools: {', '.join(names) or 'none; run `guardrails mcp approve crm` first'}")
        for name, arguments in CALLS:
            try:
                result = await client.call_tool(name, arguments)
            except MCPError as error:
                print(f"{name}: {error}")
                continue
            said = " ".join(getattr(block, "text", "") for block in result.content)
            print(f"{name}: {said}")


if __name__ == "__main__":
    asyncio.run(main())
