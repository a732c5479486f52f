"""A client of the REST API that brings jewelry photos into listings; needs nothing but the gateway."""

from jewelry_client.client import Client, File
from jewelry_client.errors import ApiError, ConnectionFailed, JewelryError
from jewelry_client.jobs import Event, Job
from jewelry_client.settings import ClientSettings

__all__ = ["ApiError", "Client", "ClientSettings", "ConnectionFailed", "Event", "File", "JewelryError", "Job"]
