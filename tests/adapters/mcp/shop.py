"""The shop as a real server: ``python shop.py KIND stdio|http [PORT]``.

KIND is ``plain`` (nobody decides), ``fastmcp`` (middleware), ``decorated`` (middleware, and
decorators on the tools) or ``sdk`` (the interceptor of the official SDK).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from mcp.server import MCPServer, Server
from mcp.server.stdio import stdio_server

import guardrails as gr
from guardrails.adapters.mcp.interceptor import Governs, GuardrailsInterceptor
from guardrails.adapters.mcp.middleware import GuardrailsMiddleware

AGENT = "billing-agent"
TOLD = {
    "read_order": Governs("shop.orders", "read"),
    "delete_order": Governs("shop.orders", "delete"),
    "refund": Governs("shop.payments", "write"),
    "slow": Governs("shop.work", "execute"),
}


def note(text: str) -> None:
    with Path("effects.txt").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def read_order(order_id: str) -> str:
    """What is in an order."""
    note(f"read_order {order_id}")
    return f"order {order_id}: two lamps"


def delete_order(order_id: str) -> str:
    """Remove an order for ever."""
    note(f"delete_order {order_id}")
    return "deleted"


def refund(order_id: str, amount: float) -> str:
    """Pay money back."""
    note(f"refund {order_id} {amount:g}")
    return f"refunded {amount:g}"


async def slow(name: str) -> str:
    """Work for a minute."""
    note(f"slow {name} began")
    await asyncio.sleep(60)
    note(f"slow {name} ended")
    return "done"


def lost() -> str:
    """Call a governed tool from a thread that has lost its run."""
    said: list[str] = []

    def work() -> None:
        try:
            said.append(governed_read(order_id="lost"))
        except gr.Refusal as refusal:
            said.append(refusal.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return f"{said[0]}; {governed_read(order_id='kept')}"


governed_read = gr.governed_tool(name="shop.read_order", resource="shop.orders", operation="read")(
    read_order
)
PLAIN = (read_order, delete_order, refund, slow)


def of_fastmcp(*, decorated: bool, plain: bool = False) -> FastMCP:
    if plain:
        server: Any = FastMCP("shop")
    else:
        governed = GuardrailsMiddleware(
            gr.load_governor(), AGENT, tools=None if decorated else TOLD, server="shop"
        )
        server = FastMCP("shop", middleware=[governed])
    for function in PLAIN:
        told = TOLD[function.__name__]
        server.tool(
            gr.governed_tool(
                name=f"shop.{function.__name__}", resource=told.resource, operation=told.operation
            )(function)
            if decorated
            else function
        )
    if decorated:
        server.tool(gr.governed_tool(name="shop.lost", resource="shop.work")(lost), name="lost")
    return server


def of_mcpserver() -> Any:
    server: Any = MCPServer("shop")
    for function in PLAIN:
        server.tool()(function)
    return server


def of_sdk() -> Server[Any]:
    inner: Server[Any] = of_mcpserver()._lowlevel_server
    inner.middleware.append(
        GuardrailsInterceptor(gr.load_governor(), AGENT, tools=TOLD, server="shop")
    )
    return inner


async def serve_sdk(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main(kind: str, transport: str, port: str = "0") -> None:
    if kind in {"fastmcp", "decorated", "fastmcp_plain"}:
        server = of_fastmcp(decorated=kind == "decorated", plain=kind == "fastmcp_plain")
        if transport == "stdio":
            server.run("stdio", show_banner=False)
        else:
            server.run("http", host="127.0.0.1", port=int(port), show_banner=False)
    elif transport == "stdio":
        asyncio.run(serve_sdk(of_sdk() if kind == "sdk" else of_mcpserver()._lowlevel_server))
    else:
        import uvicorn  # noqa: PLC0415  # of the HTTP transport alone

        app = (of_sdk() if kind == "sdk" else of_mcpserver()).streamable_http_app()
        uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
