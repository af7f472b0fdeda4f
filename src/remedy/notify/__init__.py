"""Telling people how a run ended: by mail or webhook, after the run, and never at its cost."""

from remedy.notify.message import Message, of_run, without_run
from remedy.notify.sending import send
from remedy.notify.targets import FILE, Need, Target, Targets

__all__ = ["FILE", "Message", "Need", "Target", "Targets", "of_run", "send", "without_run"]
