"""The logs of Docker's containers, and whether anything keeps them from growing without end."""

from remedy.agent.kinds import Failed
from remedy.modules.target import _docker
from remedy.modules.target._docker_items import log_size, named

FILES = ("json-file", "local")


def unlimited(host, least):
    """Return the containers whose log has no max-size and takes `least` bytes: container, path, size, driver.

    No Docker, or one that gives no answer: [].
    """
    engine = _docker.Engine(host, _docker.SOCKET, 5)
    found = []
    try:
        listed = engine.get("/containers/json", all="1")
    except (Failed, _docker.Refused):
        return []
    for each in listed:
        try:
            about = engine.get("/containers/%s/json" % each["Id"])
        except (Failed, _docker.Refused):
            continue  # it went
        config = (about.get("HostConfig") or {}).get("LogConfig") or {}
        size = log_size(about.get("LogPath"))
        if config.get("Type") == "json-file" and not (config.get("Config") or {}).get("max-size"):
            if size and size >= least:
                found.append(
                    {
                        "container": named(each),
                        "path": about["LogPath"],
                        "size": size,
                        "driver": config["Type"],
                    }
                )
    return sorted(found, key=lambda each: -each["size"])
