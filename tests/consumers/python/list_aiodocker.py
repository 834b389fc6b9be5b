"""A program on aiodocker: lists containers and inspects one. `list_aiodocker.py CONTAINER`, with DOCKER_HOST."""

import asyncio
import sys

import aiodocker


async def main():
    async with aiodocker.Docker() as client:
        listed = await client.containers.list()
        print(*sorted(name for one in listed for name in one["Names"]))
        print((await client.containers.get(sys.argv[1]))["Name"])


asyncio.run(main())
