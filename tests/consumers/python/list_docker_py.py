"""A program on docker-py: lists containers and inspects one. `list_docker_py.py CONTAINER`, with DOCKER_HOST."""

import sys

import docker

client = docker.from_env()
print(*sorted("/" + one.name for one in client.containers.list()))
print(client.api.inspect_container(sys.argv[1])["Name"])
