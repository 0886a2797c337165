"""The routes, thin: parse, call one function, answer."""

from service.routes import extract, operations, relations

ROUTERS = (extract.router, relations.router, operations.router)

__all__ = ["ROUTERS"]
