"""Whether logrotate takes a rule together with all others: asked before it stands, and once it does."""

import re

from remedy.agent.kinds import Failed
from remedy.modules.target import _rotation


def prove(host, before, after, logs):
    """Let logrotate read a configuration (parts) as it would be; raises Failed for errors that it has not now."""
    known, _ = _read(host, before)
    errors, considered = _read(host, after)
    fresh = [text for text in errors if text not in known]
    if fresh:
        raise Failed("logrotate would not take the rule, nothing was written: %s" % "; ".join(fresh))
    missing = [path for path in logs if path not in considered]
    if missing:
        raise Failed(
            "logrotate would not look at %s with this rule; nothing was written" % ", ".join(missing)
        )


def wrong(host, main, file, logs):
    """Return what is wrong with a file of rules that stands, and with those of its logs, else None."""
    dry = _rotation.dry(host, main)
    for each in dry.errors:
        if each["file"] == file or each["log"] in logs:
            return each["text"]
    missing = [path for path in logs if path not in dry.considered]
    return "it does not look at " + missing[0] if missing else None


def _read(host, found):
    dry = _rotation.Dry(_rotation.output(_rotation.run(host, ["-d"], found)))
    # The place in a file without a name says nothing.
    return [re.sub(r"^\S+:\d+ ", "", each["text"]) for each in dry.errors], dry.considered
