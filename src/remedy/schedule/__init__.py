"""Schedules: when a playbook runs by itself, on which hosts, inside which windows, and by whose permission."""

from remedy.schedule.file import load_schedule, schedule_files, vet
from remedy.schedule.model import Schedule
from remedy.schedule.permission import Permission

__all__ = ["Permission", "Schedule", "load_schedule", "schedule_files", "vet"]
