"""Nothing yet: this dialect's owner writes it."""

from flask import Blueprint

from controller.api.common.calls import Services


def blueprint(_services: Services, prefix: str) -> Blueprint:
    return Blueprint(__name__.split(".")[-2], __name__, url_prefix=prefix)
