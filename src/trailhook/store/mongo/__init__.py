"""The production store: a MongoDB replica set that any number of processes share."""

from trailhook.store.mongo.store import MongoStore

__all__ = ["MongoStore"]
