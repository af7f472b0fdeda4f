"""A Sweep over the files of a folder: names that start with "keep" stay."""

import os

from remedy.agent.kinds import Failed, Item, Sweep


class Swept(Sweep):
    def key(self):
        return "files in " + self.params["folder"]

    def find(self):
        folder = self.params["folder"]
        items = []
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            size = os.path.getsize(path)
            take = not name.startswith("keep")
            items.append(Item(path, take, "old" if take else "kept by name", size, [size]))
        return items

    def drain(self, item):
        name = os.path.basename(item.id)
        if name.startswith("busy"):
            return "it is open"
        if name.startswith("stuck"):
            return 0  # said to be taken, and is not
        if name.startswith("error"):
            raise PermissionError(1, "Operation not permitted", item.id)
        os.unlink(item.id)
        if name.startswith("lost"):
            os.rename(self.params["folder"], self.params["folder"] + ".gone")
            raise Failed("nobody knows whether it went")
        if self.params.get("newcomer"):
            with open(os.path.join(self.params["folder"], "new"), "w") as file:
                file.write("12345")
        return item.size

    def returns(self, taken, kept):
        return {"taken": [item.id for item in taken], "stay": [item.id for item in kept]}


def kind(params):
    return Swept
