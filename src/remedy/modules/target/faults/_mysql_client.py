"""The least client of MySQL's protocol, as text for a process that stays: it logs in on a Unix socket or at an address.
What it is told is JSON in a file, whose name is to be filled in.

Enough for an account made for the purpose, with mysql_native_password or caching_sha2_password. Holds sessions; a
statement is run in each of them first. https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

PROGRAM = r"""
import hashlib, json, socket, struct, sys

class LoginError(Exception):
    def __init__(self, number, text):
        Exception.__init__(self, "{} {}".format(number, text))
        self.number = number

def read(line):
    head = whole(line, 4)
    return head[3], whole(line, struct.unpack("<I", head[:3] + b"\0")[0])

def whole(line, count):
    data = b""
    while len(data) < count:
        part = line.recv(count - len(data))
        if not part:
            raise LoginError(2013, "the server closed the connection")
        data += part
    return data

def send(line, number, data):
    line.sendall(struct.pack("<I", len(data))[:3] + bytes([number & 255]) + data)

def checked(data):
    if data[:1] == b"\xff":
        raise LoginError(struct.unpack("<H", data[1:3])[0], data[3:].decode("utf-8", "replace"))
    return data

def mixed(one, other):
    return bytes(a ^ b for a, b in zip(one, other))

def answer(plugin, password, salt):
    if plugin == "mysql_native_password":
        once = hashlib.sha1(password).digest()
        return mixed(once, hashlib.sha1(salt + hashlib.sha1(once).digest()).digest())
    once = hashlib.sha256(password).digest()
    return mixed(once, hashlib.sha256(hashlib.sha256(once).digest() + salt).digest())

def log_in(address, user, password):
    if isinstance(address, list):
        line = socket.create_connection((address[0], address[1]), 20)
    else:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(20)
        line.connect(address)
    _, hello = read(line)
    checked(hello)
    rest = hello[hello.index(b"\0", 1) + 1:]
    salt = rest[4:12]
    salt += rest[31:43]
    plugin = rest[44:].split(b"\0")[0].decode() or "mysql_native_password"
    flags = 0x00000001 | 0x00000200 | 0x00002000 | 0x00008000 | 0x00080000
    said = answer(plugin, password, salt)
    send(line, 1, struct.pack("<IIB23x", flags, 1 << 24, 45) + user + b"\0" + bytes([len(said)]) + said
         + plugin.encode() + b"\0")
    while True:
        number, data = read(line)
        checked(data)
        if data[:1] == b"\0":
            line.settimeout(None)
            return line
        if data[:1] == b"\xfe":
            plugin, _, salt = data[1:].partition(b"\0")
            send(line, number + 1, answer(plugin.decode(), password, salt.rstrip(b"\0")))
        elif data[:2] == b"\x01\x04":
            send(line, number + 1, password + b"\0")  # over a Unix socket nobody listens in

def ask(line, statement):
    send(line, 0, b"\x03" + statement)
    _, data = read(line)
    checked(data)
    if data[:1] == b"\0":
        return
    ends = 0
    while ends < 2:
        _, data = read(line)
        checked(data)
        ends += data[:1] == b"\xfe" and len(data) < 9

with open("%s") as file:
    told = json.load(file)
"""
