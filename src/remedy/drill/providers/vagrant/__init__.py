"""Drill hosts from the project's Vagrantfile: virtual machines, or containers."""

from remedy.drill.providers.vagrant.provider import Vagrant, find_vagrantfile

__all__ = ["Vagrant", "find_vagrantfile"]
