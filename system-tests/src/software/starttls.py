# Plays a database's words before TLS to one client, and joins it with a TLS port then:
# starttls.py mysql|postgresql LOCAL_PORT HOST PORT

import socket
import struct
import sys
import threading


def read(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            sys.exit("the client has ended")
        data += part
    return data


def postgresql(client):
    length = struct.unpack("!I", read(client, 4))[0]
    read(client, length - 4)
    client.sendall(b"S")


def mysql(client):
    # Protocol version 10 (MySQL's HandshakeV10). Of the capabilities: protocol 4.1, SSL, secure connection, plugins.
    capabilities = 0x0200 | 0x0800 | 0x8000 | 0x0008 | 0x0008_0000
    greeting = b"\x0a" + b"8.0.30\0" + struct.pack("<I", 1) + b"a" * 8 + b"\0"
    greeting += struct.pack("<HBHH", capabilities & 0xFFFF, 45, 2, capabilities >> 16)
    greeting += bytes([21]) + bytes(10) + b"b" * 12 + b"\0" + b"mysql_native_password\0"
    client.sendall(struct.pack("<I", len(greeting))[:3] + b"\0" + greeting)
    header = read(client, 4)
    read(client, int.from_bytes(header[:3], "little"))


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


protocol, local_port, host, port = sys.argv[1:]
with socket.create_server(("127.0.0.1", int(local_port))) as listener:
    client, _ = listener.accept()
{"mysql": mysql, "postgresql": postgresql}[protocol](client)
gateway = socket.create_connection((host, int(port)), timeout=5)
threading.Thread(target=pump, args=(gateway, client), daemon=True).start()
pump(client, gateway)
