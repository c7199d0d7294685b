"""The only place with tunables: ``load(environment)`` gives the checked tree of one environment."""

from configs.overlay import environments, leaves, load
from configs.schema import AppConfig, config_hash

__all__ = ["AppConfig", "config_hash", "environments", "leaves", "load"]
