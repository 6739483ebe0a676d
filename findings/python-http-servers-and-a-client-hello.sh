#!/usr/bin/env bash
# A TLS client connects to a port of plain HTTP. What does it get?
#
# Eight HTTP servers for Python, each started with an empty application, get the ClientHello of Python's own ssl module. Four
# answer 400 and close. werkzeug 3.1.3 (http.server below it) reads the bytes before the first 0x0a, which is in the number
# of an extension, as a request line of HTTP/0.9: its answer is an HTML page without a status line. gunicorn 23.0.0,
# tornado 6.4.2 and waitress 3.0.2 wait for the end of the header fields and say nothing: the client hangs until its timeout,
# and nothing on the wire shows that the port speaks HTTP.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install --disable-pip-version-check \
  aiohttp==3.11.11 cheroot==10.0.1 gunicorn==23.0.0 h11==0.14.0 hypercorn==0.17.3 tornado==6.4.2 \
  uvicorn==0.34.0 waitress==3.0.2 werkzeug==3.1.3
cd "$folder"
cat > app.py <<'PY'
def application(environ, start_response):
    start_response("200 OK", [])
    return [b""]


async def asynchronous(scope, receive, send):
    pass
PY
cat > serve.py <<'PY'
import sys

from app import application

kind, port = sys.argv[1], int(sys.argv[2])
if kind == "aiohttp":
    import aiohttp.web
    aiohttp.web.run_app(aiohttp.web.Application(), host="127.0.0.1", port=port, print=None)
elif kind == "cheroot":
    from cheroot import wsgi
    wsgi.Server(("127.0.0.1", port), application).start()
elif kind == "tornado":
    import tornado.ioloop
    import tornado.web
    tornado.web.Application([]).listen(port, "127.0.0.1")
    tornado.ioloop.IOLoop.current().start()
elif kind == "werkzeug":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, application)
PY
cat > ask.py <<'PY'
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
try:
    ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="api.example").do_handshake()
except ssl.SSLWantReadError:
    pass
HELLO = outgoing.read()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answer(port):
    for _ in range(100):
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
            break
        except OSError:
            time.sleep(0.1)
    connection.sendall(HELLO)
    connection.settimeout(4)
    received = b""
    try:
        while chunk := connection.recv(4096):
            received += chunk
    except TimeoutError:
        return "silent" if not received else "open"
    return repr(received[:9]) + ", then FIN"


modules = {
    "gunicorn": ["-m", "gunicorn", "-b", "127.0.0.1:{}", "app:application"],
    "hypercorn": ["-m", "hypercorn", "-b", "127.0.0.1:{}", "app:asynchronous"],
    "uvicorn": ["-m", "uvicorn", "--http", "h11", "--port", "{}", "app:asynchronous"],
    "waitress": ["-m", "waitress", "--listen=127.0.0.1:{}", "app:application"],
}
for server in ["aiohttp", "cheroot", "gunicorn", "hypercorn", "tornado", "uvicorn", "waitress", "werkzeug"]:
    port = free_port()
    words = [word.format(port) for word in modules.get(server, ["serve.py", server, "{}"])]
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        print(f"{server}: {answer(port)}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
PY
seen=$(venv/bin/python ask.py)
echo "$seen"
# Seen with Python 3.11.2:
expected="aiohttp: b'HTTP/1.0 ', then FIN
cheroot: b'HTTP/1.1 ', then FIN
gunicorn: silent
hypercorn: b'HTTP/1.1 ', then FIN
tornado: silent
uvicorn: b'HTTP/1.1 ', then FIN
waitress: silent
werkzeug: b'<!DOCTYPE', then FIN"
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
