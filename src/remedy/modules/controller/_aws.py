"""Sessions on Amazon's services from the control machine: who to be there, and what its errors mean in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from remedy.agent.kinds import Failed, Param
from remedy.modules.controller._site import Site

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}\Z")
"""What a region looks like; the name becomes part of the address that is asked, so nothing else may stand there."""

_CONNECT, _READ = 10, 60  # seconds
_ATTEMPTS = 5
_SAID = 400  # characters of an answer in an error

AWS_PARAMS = (
    Param("region", help="The region; else the one that the host is in, else that of boto3's chain."),
    Param("profile", help="A profile of this machine's ~/.aws."),
    Param("access_key", secret=True, help="An access key, from a vault; else boto3's chain: environment, profile, "
          "single sign-on, the role of the machine."),
    Param("secret_key", secret=True, help="Its secret."),
    Param("session_token", secret=True, help="Its session token, for keys that expire."),
    Param("endpoint_url", help="Another address of the service."),
)  # fmt: skip
AWS_VARIABLES = {param.name: f"aws_{param.name}" for param in AWS_PARAMS}

T = TypeVar("T")


def check_login(params: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the AWS parameters of a task, None where nothing is."""
    if bool(params.get("access_key")) != bool(params.get("secret_key")):
        return "access_key and secret_key go together"
    if params.get("session_token") and not params.get("access_key"):
        return "session_token goes with access_key and secret_key"
    if params.get("profile") and params.get("access_key"):
        return "name a profile, or keys, not both"
    region = params.get("region")
    if region and "{{" not in str(region) and not REGION.match(str(region)):
        return f"region '{region}': expected a name such as eu-central-1"
    return None


def client(site: Site, params: Mapping[str, Any], service: str, region: str | None) -> Any:
    """Return boto3's client of a service; raises Failed where boto3, a region or credentials are missing.

    `region` is for a task that names none.
    """
    try:
        import boto3  # the extra remedy[aws]: who has no volumes need not have it
        from botocore.config import Config
    except ImportError:
        raise Failed(
            "boto3 is not installed on the control machine: install remedy with its extra, remedy[aws]"
        ) from None
    with told("AWS"):
        session = boto3.Session(
            profile_name=params.get("profile"),
            region_name=params.get("region") or region,
            aws_access_key_id=params.get("access_key"),
            aws_secret_access_key=params.get("secret_key"),
            aws_session_token=params.get("session_token"),
        )
        credentials = session.get_credentials()
        if credentials is None:
            raise Failed(
                "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on the control "
                "machine, log in (aws sso login), or give access_key and secret_key from a vault"
            )
        frozen = credentials.get_frozen_credentials()
        for secret in (frozen.secret_key, frozen.token):
            if secret:  # those of the chain, too: botocore's own errors may show a request
                site.hide(secret)
        retries = {"mode": "standard", "max_attempts": _ATTEMPTS}
        config = Config(connect_timeout=_CONNECT, read_timeout=_READ, retries=retries)
        return session.client(service, endpoint_url=params.get("endpoint_url"), config=config)


def call(what: str, operation: Callable[..., T], /, **arguments: Any) -> T:
    """Return an operation's answer; raises Failed in the words of `what` was tried and AWS's own, `code` in it."""
    with told(what):
        return operation(**arguments)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tell boto3's errors in words: never a traceback, never a secret."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    try:
        yield
    except boto.ClientError as error:
        answer = error.response.get("Error", {})
        code, said = str(answer.get("Code", "")), str(answer.get("Message", error))
        raise Failed(f"{what}: {code}: {_short(said)}{_HINTS.get(code, '')}", code=code) from None
    except boto.NoRegionError:
        raise Failed(f"{what}: no region is known: name it (region, or aws_region in the inventory)") from None
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise Failed(f"{what}: no AWS credentials that work: {_short(str(error))}") from None
    except (boto.ConnectTimeoutError, boto.ReadTimeoutError) as error:
        raise Failed(f"{what}: {_short(str(error))}", "timeout") from None
    except ResponseParserError as error:  # a proxy's page, say
        raise Failed(f"{what}: what answers is not AWS: {_short(str(error))}") from None
    except (boto.BotoCoreError, ValueError) as error:  # a profile that is not there, an address that is none
        raise Failed(f"{what}: {_short(str(error))}") from None


_HINTS = {
    "AuthFailure": " (the control machine's keys are not valid: are they of this account, is its clock right?)",
    "RequestExpired": " (the session has expired: log in again, or set the control machine's clock)",
    "ExpiredToken": " (the session has expired: log in again)",
    "InvalidVolume.NotFound": " (is it in this region, and of this account?)",
}


def _short(text: str) -> str:
    # An authorization failure carries a kilobyte that only AWS can decode.
    text = text.partition("Encoded authorization failure message")[0].strip()
    return text if len(text) <= _SAID else text[:_SAID] + "…"
