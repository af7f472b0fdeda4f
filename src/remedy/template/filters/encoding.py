"""Filters from and to other notations: base 64, hashes, JSON, YAML, URLs."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

import yaml

from remedy.template.plain import plain
from remedy.template.trouble import FilterError

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # as Ansible: libyaml ends no scalar with "..."
_NAMESPACE = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")  # the one Ansible's to_uuid uses
_URL_PARTS = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")


def b64encode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    data = value if isinstance(value, bytes) else str(value).encode(encoding)
    return (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(data).decode("ascii")


def b64decode(value: str, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    try:
        return (base64.urlsafe_b64decode if urlsafe else base64.b64decode)(value).decode(encoding)
    except ValueError as error:
        raise FilterError(f"b64decode: no base 64 of a text in {encoding}: {error}") from error


def get_hash(value: Any, hashtype: str = "sha1") -> str:
    if hashtype not in hashlib.algorithms_available or hashtype.startswith("shake"):
        raise FilterError(f"hash: '{hashtype}' is not known; expected for example sha256 or md5")
    data = value if isinstance(value, bytes) else str(value).encode()
    return hashlib.new(hashtype, data, usedforsecurity=False).hexdigest()


def sha1(value: Any) -> str:
    return get_hash(value)


def md5(value: Any) -> str:
    return get_hash(value, "md5")


def to_uuid(value: Any, namespace: str | uuid.UUID = _NAMESPACE) -> str:
    return str(
        uuid.uuid5(namespace if isinstance(namespace, uuid.UUID) else uuid.UUID(namespace), str(value))
    )


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"JSON has no {type(value).__name__}")


def to_json(value: Any, **options: Any) -> str:
    return json.dumps(plain(value), default=_as_json, **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    options.setdefault("separators", (",", ": "))
    return json.dumps(plain(value), default=_as_json, indent=indent, sort_keys=sort_keys, **options)


def from_json(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise FilterError(f"from_json: no JSON: {error}") from error


def to_yaml(value: Any, default_flow_style: bool | None = None, **options: Any) -> str:
    options.setdefault("allow_unicode", True)
    return str(yaml.dump(plain(value), Dumper=_Dumper, default_flow_style=default_flow_style, **options))


def to_nice_yaml(value: Any, indent: int = 4, default_flow_style: bool = False, **options: Any) -> str:
    return to_yaml(value, default_flow_style, indent=indent, **options)


def from_yaml(value: Any) -> Any:
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError) as error:
        raise FilterError(f"from_yaml: no YAML: {error}") from error


def from_yaml_all(value: Any) -> Any:
    try:
        return list(yaml.safe_load_all(value)) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError) as error:
        raise FilterError(f"from_yaml_all: no YAML: {error}") from error


def urlsplit(value: str, query: str = "") -> Any:
    parts = urllib.parse.urlsplit(value)
    found = {name: getattr(parts, name) for name in _URL_PARTS}
    if not query:
        return found
    if query not in found:
        raise FilterError(f"urlsplit: '{query}' is no part of a URL; expected one of {', '.join(_URL_PARTS)}")
    return found[query]


FILTERS: dict[str, Callable[..., Any]] = {
    "b64encode": b64encode,
    "b64decode": b64decode,
    "hash": get_hash,
    "checksum": sha1,
    "sha1": sha1,
    "md5": md5,
    "to_uuid": to_uuid,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "from_json": from_json,
    "to_yaml": to_yaml,
    "to_nice_yaml": to_nice_yaml,
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
    "urlsplit": urlsplit,
    "urldecode": urllib.parse.unquote_plus,
}
