"""The lab: disposable booted hosts on one Linux machine, for drills and tests."""

from remedy.lab.door import Output
from remedy.lab.errors import LabError
from remedy.lab.host import Host
from remedy.lab.lab import Lab
from remedy.lab.spec import Disk, HostSpec

__all__ = ["Disk", "Host", "HostSpec", "Lab", "LabError", "Output"]
