"""setup: Ansible's facts about the machine the tests run on."""

import json
import os
import platform
import socket
import sys

import pytest
from tests.modules.running import params, run

from remedy.errors import InputError

# What playbooks ask for most.
COMMON = (
    "all_ipv4_addresses all_ipv6_addresses apparmor architecture bios_version cmdline date_time "
    "default_ipv4 default_ipv6 devices distribution distribution_file_variety distribution_major_version "
    "distribution_release distribution_version dns domain effective_group_id effective_user_id env "
    "form_factor fqdn hostname interfaces is_chroot kernel kernel_version lo local lsb machine machine_id"
    " memfree_mb memory_mb memtotal_mb mounts nodename os_family pkg_mgr proc_cmdline processor "
    "processor_cores processor_count processor_nproc processor_threads_per_core processor_vcpus "
    "product_name python python_version real_group_id real_user_id selinux service_mgr swapfree_mb "
    "swaptotal_mb system system_vendor uptime_seconds user_dir user_gecos user_gid user_id user_shell "
    "user_uid userspace_bits virtualization_role virtualization_tech_guest virtualization_tech_host "
    "virtualization_type "
)


def facts(**given):
    frame = run("setup", **given)
    assert frame["status"] == "ok", frame["reason"]
    assert frame["result"]["changed"] is False
    return frame["result"]["ansible_facts"]


def test_the_common_facts_are_there_and_travel_as_json():
    found = facts()
    assert {f"ansible_{name}" for name in COMMON.split()} <= set(found)
    assert json.loads(json.dumps(found)) == found
    assert found["module_setup"] is True
    assert found["gather_subset"] == ["all"]


def test_the_facts_are_those_of_this_machine():
    found = facts(gather_subset="all")
    assert found["ansible_kernel"] == platform.release()
    assert found["ansible_nodename"] == socket.gethostname()
    assert found["ansible_python_version"] == platform.python_version()
    assert found["ansible_python"]["executable"] == sys.executable
    assert found["ansible_processor_nproc"] == len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert found["ansible_memtotal_mb"] == pytest.approx(memory, abs=2)
    assert found["ansible_user_uid"] == os.getuid()
    assert found["ansible_date_time"]["epoch"].isdigit()
    about = platform.freedesktop_os_release()
    assert found["ansible_distribution_version"].startswith(about["VERSION_ID"])
    assert found["ansible_distribution_major_version"] == about["VERSION_ID"].split(".")[0]
    root = next(mount for mount in found["ansible_mounts"] if mount["mount"] == "/")
    assert root["size_total"] == os.statvfs("/").f_blocks * os.statvfs("/").f_frsize


def test_the_loopback_has_its_addresses():
    loopback = facts(gather_subset="network")["ansible_lo"]
    assert loopback["type"] == "loopback"
    assert loopback["ipv4"]["address"] == "127.0.0.1"
    assert loopback["ipv4"]["netmask"] == "255.0.0.0"
    assert loopback["ipv4"]["network"] == "127.0.0.0"


def test_a_subset_brings_only_its_own():
    found = facts(gather_subset=["!all", "!min", "network"])
    assert "ansible_interfaces" in found
    assert "ansible_kernel" not in found
    assert "ansible_mounts" not in found
    found = facts(gather_subset=["!all"])
    assert "ansible_kernel" in found
    assert "ansible_interfaces" not in found
    assert "ansible_mounts" not in facts(gather_subset=["!hardware"])
    assert "ansible_mounts" in facts(gather_subset=["mounts"])


def test_a_filter_takes_names_with_and_without_the_prefix():
    assert set(facts(filter=["ansible_kern*", "nodename"])) == {
        "ansible_kernel",
        "ansible_kernel_version",
        "ansible_nodename",
    }


def test_an_unknown_subset_is_refused():
    with pytest.raises(InputError, match="there is no subset 'hardwear'; the groups are all, hardware, min"):
        params("setup", gather_subset=["hardwear"])


def test_local_facts_are_json_ini_or_what_a_program_says(tmp_path):
    (tmp_path / "plain.fact").write_text('{"a": [1]}')
    (tmp_path / "old.fact").write_text("[general]\ncolour = red\n")
    program = tmp_path / "made.fact"
    program.write_text("#!/bin/sh\necho '{\"b\": 2}'\n")
    program.chmod(0o755)
    (tmp_path / "bad.fact").write_text("neither")
    found = facts(fact_path=str(tmp_path))["ansible_local"]
    assert found["plain"] == {"a": [1]}
    assert found["old"] == {"general": {"colour": "red"}}
    assert found["made"] == {"b": 2}
    assert found["bad"].startswith(f"error loading fact {tmp_path}/bad.fact: ")
