"""The signed word that these models with this configuration may trade real money, and what it is checked against.

::

    <promotion.path>/mainnet.json            the promotion that is in force
    <promotion.path>/promotions.jsonl        every promotion there ever was, a line each
    <promotion.path>/doctor-<environment>.json   the last examination
    <promotion.path>/acknowledged.json       up to when alerts were read

All are signed (`adapters.signed_record`).
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

import configs
from adapters.model_store import Artifact, load_manifest
from adapters.parts import replace_file
from adapters.signed_record import SigningKey
from configs.schema import SECTIONS, AppConfig
from configs.section import settings_of
from core.errors import ArtifactError, RefusedError
from core.promotion_gate import Doctor, Item, passed
from core.times import iso

__all__ = [
    "Acknowledged",
    "MainnetPromotion",
    "Records",
    "model_digests",
    "phrase_of",
    "promoted",
    "promotion_for",
    "reduced",
    "values_of",
]

_HOUR_NS = 3_600_000_000_000
_SIZES = ("sizing.max_exposure", "risk.max_capital", "risk.max_instrument", "risk.max_group", "risk.max_order_notional")
_ENTRIES = ("risk.max_entries_24h", "risk.max_entries_per_day")
_SESSION = re.compile(r"(\d{8}T\d{6}Z)-mainnet-[0-9a-f]{6}")

type Share = Annotated[float, Meta(gt=0.0, le=1.0)]


class MainnetPromotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may trade: a configuration, and models by name with the digests of their manifests (`model_digests`).

    ``values`` of the configuration by dotted path, as text, to say what differs; ``items`` of the checklist; ``reason``
    as typed; times ns. ``exposure`` and ``entries`` are the shares of the limits of the first ``first_day_ns``.
    """

    format: Annotated[int, Meta(ge=1, le=1)]
    config_hash: str
    values: Mapping[str, str]
    models: Mapping[str, str]
    instruments: tuple[str, ...]
    items: tuple[Item, ...]
    created_ns: int
    expires_ns: int
    first_day_ns: Annotated[int, Meta(ge=0)]
    exposure: Share
    entries: Share


class Acknowledged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person has read the alerts up to a time (ns)."""

    until_ns: int
    reason: str
    ts_event: int


class AlertAck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person has read an alert: what its source had told up to a time (ns), in words too what came of it."""

    alert_id: str
    source: str
    until_ns: int
    reason: str
    ts_event: int


class AlertAcks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last acknowledgement of each source."""

    acks: tuple[AlertAck, ...] = ()


class Records:
    """The signed records of a machine.

    Parameters
    ----------
    config : AppConfig
        Says where they and their key are.
    make_key : bool
        Whether to make the key where it is absent.
    """

    def __init__(self, config: AppConfig, *, make_key: bool) -> None:
        self._folder = Path(config.promotion.path)
        self._key = SigningKey(Path(config.promotion.key_path), make=make_key)

    def promotion(self) -> MainnetPromotion | None:
        """Return the promotion in force, None where there is none."""
        return self._load("mainnet.json", MainnetPromotion)

    def doctor(self, environment: str) -> Doctor | None:
        """Return the last examination of an environment, None where there was none."""
        return self._load(f"doctor-{environment}.json", Doctor)

    def acknowledged(self) -> Acknowledged | None:
        """Return up to when alerts were read, None where never."""
        return self._load("acknowledged.json", Acknowledged)

    def keep_promotion(self, promotion: MainnetPromotion) -> Path:
        """Put a promotion in force; return its place."""
        sealed = self._key.seal(promotion)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "promotions.jsonl").open("ab") as file:
            file.write(sealed + b"\n")
        return self._save("mainnet.json", sealed)

    def keep_doctor(self, environment: str, doctor: Doctor) -> None:
        """Keep an examination."""
        self._save(f"doctor-{environment}.json", self._key.seal(doctor))

    def keep_acknowledged(self, acknowledged: Acknowledged) -> None:
        """Keep up to when alerts were read."""
        self._save("acknowledged.json", self._key.seal(acknowledged))

    def alert_acks(self, environment: str) -> tuple[AlertAck, ...]:
        """Return which alerts of an environment a person has read, the last of each source."""
        found = self._load(f"alerts-{environment}.json", AlertAcks)
        return () if found is None else found.acks

    def keep_alert_ack(self, environment: str, ack: AlertAck) -> None:
        """Keep that a person has read an alert."""
        others = [one for one in self.alert_acks(environment) if one.source != ack.source]
        last = max((one for one in self.alert_acks(environment) if one.source == ack.source),
                   key=lambda one: one.until_ns, default=ack)  # fmt: skip
        newest = ack if ack.until_ns >= last.until_ns else last
        self._save(f"alerts-{environment}.json", self._key.seal(AlertAcks((*others, newest))))

    def _load[Record: msgspec.Struct](self, name: str, kind: type[Record]) -> Record | None:
        path = self._folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return self._key.open(content, kind, str(path))

    def _save(self, name: str, sealed: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_file(self._folder / name, sealed + b"\n")
        return self._folder / name


def model_digests(models: Collection[Path]) -> dict[str, str]:
    """Return the digests of artifacts' manifests, which hold those of their graphs, by model name.

    Raises
    ------
    ArtifactError
        Where one has no manifest, or one that was changed.
    """
    manifests = [load_manifest(path) for path in sorted(models)]
    return {manifest.model_id: manifest.manifest_sha256 for manifest in manifests}


def values_of(config: AppConfig) -> dict[str, str]:
    """Return every value of a configuration as text, by dotted path."""
    return {path: msgspec.json.encode(value).decode() for path, value in configs.leaves(config).items()}


def phrase_of(config: AppConfig, models: Mapping[str, str]) -> str:
    """Return what a person types to trade real money: it names these models and this configuration."""
    named = hashlib.sha256(msgspec.json.encode((sorted(models.items()), configs.config_hash(config)))).hexdigest()
    return f"trade real money with {named[:12]}"


def promotion_for(config: AppConfig, models: Collection[Path], *, now_ns: int) -> MainnetPromotion:
    """Return the promotion under which a configuration and its models may trade real money.

    Parameters
    ----------
    config : AppConfig
        Of mainnet, before anything of the first day is laid over it.
    models : Collection[Path]
        Artifact directories that will vote.
    now_ns : int
        The time now, ns.

    Raises
    ------
    RefusedError
        Where there is none, it is of something else, expired, or was changed: one line says which and what to do.
    ArtifactError
        As `model_digests`.
    """
    again = "pass the gate with `autotrade promote --accept`"
    if not (Path(config.promotion.path) / "mainnet.json").is_file():
        raise RefusedError(f"mainnet: no promotion is recorded in {config.promotion.path}; {again}")
    promotion = Records(config, make_key=False).promotion()
    assert promotion is not None
    if promotion.config_hash != configs.config_hash(config):
        what = _differing(promotion, config)
        raise RefusedError(f"mainnet: the configuration is not the promoted one: {what}; change it back, or {again}")
    found = model_digests(models)
    if found != dict(promotion.models):
        raise RefusedError(f"mainnet: the models are not those that were promoted: {_exchanged(promotion, found)}; "
                           f"trade those, or {again}")  # fmt: skip
    if not passed(promotion.items):
        raise RefusedError(f"mainnet: the promotion was written without a passed checklist; {again}")
    if not promotion.created_ns <= now_ns < promotion.expires_ns:
        raise RefusedError(f"mainnet: the promotion was good from {iso(promotion.created_ns)} until "
                           f"{iso(promotion.expires_ns)}, and now is {iso(now_ns)}; {again}")  # fmt: skip
    return promotion


def promoted(artifact: Artifact, promotion: MainnetPromotion | None) -> Artifact:
    """Return an artifact that arrives while trading, if it was promoted; without a promotion any may come.

    Raises
    ------
    ArtifactError
        Where it was not.
    """
    manifest = artifact.manifest
    if promotion is not None and promotion.models.get(manifest.model_id) != manifest.manifest_sha256:
        raise ArtifactError(f"model {manifest.model_id} was not promoted to real money; pass the gate with it first")
    return artifact


def reduced(config: AppConfig, promotion: MainnetPromotion, *, now_ns: int) -> AppConfig:
    """Return a configuration as it may trade now: on the first day with a share of its limits.

    The first day begins with the first session on mainnet since the promotion; sessions are known by their folders.

    Raises
    ------
    RefusedError
        Where a limit would grow.
    """
    first = min(_sessions(Path(config.record.path), promotion.created_ns), default=now_ns)
    if now_ns - first >= promotion.first_day_ns:
        return config
    shares = dict.fromkeys(_SIZES, promotion.exposure) | dict.fromkeys(_ENTRIES, promotion.entries)
    return _scaled(config, shares)


def _scaled(config: AppConfig, shares: Mapping[str, float]) -> AppConfig:
    """Return a configuration with some limits multiplied; none grows, and none falls below what the schema allows."""
    changed: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        old, values = getattr(config, name), {}
        for setting in settings_of(section):
            if setting.path not in shares:
                continue
            was = getattr(old, setting.name)
            least = getattr(setting.type, "ge", None) or 0
            value = max(int(was * shares[setting.path]), 1) if isinstance(was, int) else was * shares[setting.path]
            values[setting.name] = min(max(value, least), was)
            if setting.rank(values[setting.name]) > setting.rank(was):
                raise RefusedError(
                    f"{setting.path}: {values[setting.name]} is looser than {was}; a first day only tightens"
                )
        if values:
            changed[name] = msgspec.structs.replace(old, **values)
    return msgspec.structs.replace(config, **changed)


def _sessions(folder: Path, since_ns: int) -> list[int]:
    """Return when sessions on mainnet began (ns), since a time."""
    named = [_SESSION.fullmatch(path.name) for path in folder.glob("*-mainnet-*")] if folder.is_dir() else []
    began = [datetime.strptime(name[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for name in named if name]
    starts = [int(time.timestamp()) * 1_000_000_000 for time in began]
    return [start for start in starts if start >= since_ns // 1_000_000_000 * 1_000_000_000]


def _differing(promotion: MainnetPromotion, config: AppConfig) -> str:
    """Return which values differ, the first three."""
    now = values_of(config)
    names = [path for path in now if promotion.values.get(path) != now[path]]
    shown = [f"{path} was {promotion.values.get(path, 'absent')} and is {now[path]}" for path in names[:3]]
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown) + more or "its form has changed with the program"


def _exchanged(promotion: MainnetPromotion, found: Mapping[str, str]) -> str:
    """Return which models are missing, new or changed."""
    names: Sequence[str] = sorted({*promotion.models, *found})
    words = []
    for name in names:
        was, now = promotion.models.get(name), found.get(name)
        if was != now:
            words.append(f"{name} is {'missing' if now is None else 'new' if was is None else 'another one'}")
    return ", ".join(words[:3]) + (f", and {len(words) - 3} more" if len(words) > 3 else "")
