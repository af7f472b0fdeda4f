"""Gather what is known about the host: the facts of Ansible's setup, in one go.

Nothing is started for it but what `fact_path` holds; a dead mount costs at most `gather_timeout`, and is
listed without sizes. Returns `ansible_facts`, keys with ansible_ before them.
"""

import fnmatch

from remedy.agent.kinds import Param, Probe

PARAMS = (
    Param(
        "gather_subset",
        "list",
        default=("all",),
        elements="str",
        help="Which facts: all, min, hardware, network, virtual, or one by name; ! before it leaves it out.",
    ),
    Param(
        "filter",
        "list",
        default=(),
        elements="str",
        help="Return only facts whose name fits a shell pattern.",
    ),
    Param("gather_timeout", "duration", default=10, help="How long a mount may take to answer."),
    Param("fact_path", "path", default="/etc/ansible/facts.d", help="The folder of local facts (*.fact)."),
)

EXAMPLES = """
- setup: {gather_subset: [min, network]}
"""

# The fine names of Ansible's subsets, by the group that holds them here.
SUBSETS = {
    "min": "apparmor caps cmdline date_time distribution dns env fips local lsb pkg_mgr platform python"
    " selinux service_mgr ssh_pub_keys system_capabilities user loadavg systemd",
    "hardware": "devices memory mounts processor processor_cores processor_count uptime_seconds dmi",
    "network": "interfaces default_ipv4 default_ipv6 all_ipv4_addresses all_ipv6_addresses",
    "virtual": "virtualization_role virtualization_type virtualization_tech_guest virtualization_tech_host",
}
_NONE = ("facter", "ohai")


def check_params(params):
    known = (
        set(SUBSETS) | {"all"} | set(_NONE) | {name for names in SUBSETS.values() for name in names.split()}
    )
    for subset in params["gather_subset"]:
        if subset.lstrip("!") not in known:
            return "there is no subset '%s'; the groups are all, %s" % (subset, ", ".join(sorted(SUBSETS)))
    return None


def kind(params):
    return Setup


class Setup(Probe):
    def read(self):
        from remedy.modules.target import _facts_hardware, _facts_network, _facts_system

        groups = _groups(self.params["gather_subset"])
        facts = {"gather_subset": list(self.params["gather_subset"]), "module_setup": True}
        if "min" in groups:
            facts.update(_facts_system.facts(self.host, self.params["fact_path"]))
        if "hardware" in groups:
            facts.update(_facts_hardware.facts(self.host, self.params["gather_timeout"]))
        if "network" in groups:
            facts.update(_facts_network.facts())
        if "virtual" in groups:
            facts.update(_facts_system.virtualization())
        return {"ansible_facts": self._filtered(facts)}

    def _filtered(self, facts):
        wanted = [pattern for pattern in self.params["filter"] or () if pattern]
        found = {}
        for name, value in facts.items():
            full = name if name in ("gather_subset", "module_setup") else "ansible_" + name
            if not wanted or any(
                fnmatch.fnmatchcase(full, w) or fnmatch.fnmatchcase(name, w) for w in wanted
            ):
                found[full] = value
        return found


def _groups(subsets):
    """Return the groups to gather: all unless some are named, without those marked !, and min unless !min."""
    named, left_out = set(), set()
    for subset in subsets:
        name = subset.lstrip("!")
        groups = [
            group for group, names in SUBSETS.items() if name in ("all", group) or name in names.split()
        ]
        if not subset.startswith("!"):
            named.update(groups)
        elif name in SUBSETS:
            left_out.add(name)
    if not named and "!all" not in subsets:
        named = set(SUBSETS)
    return (named | {"min"}) - left_out
