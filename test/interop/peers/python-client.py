"""A peer that is Python's ssl module: `python3 python-client.py OPTIONS`, the options being a JSON object.

What happens is told as one JSON object a line. A connection that ends without close_notify is an error here.
"""

import hashlib
import json
import socket
import ssl
import sys

LIMIT = 10


def main():
    options = json.loads(sys.argv[1])
    context = ssl.create_default_context(cafile=options["ca"])
    if "version" in options:
        version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[options["version"]]
        context.minimum_version = context.maximum_version = version
    if "alpn" in options:
        context.set_alpn_protocols(options["alpn"])
    if "cert" in options:
        context.load_cert_chain(options["cert"], options["key"])
    session = None
    for _ in range(options.get("rounds", 1)):
        session = fetch(context, options, session)


def fetch(context, options, session):
    try:
        raw = socket.create_connection(("127.0.0.1", options["port"]), timeout=LIMIT)
        with context.wrap_socket(
            raw, server_hostname=options["name"], session=session, suppress_ragged_eofs=False
        ) as connection:
            say(
                event="handshake",
                version=connection.version(),
                alpn=connection.selected_alpn_protocol(),
                reused=connection.session_reused,
                leaf=hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest(),
            )
            connection.sendall(options.get("request", "ping\nCLOSE\n").encode())
            body = b""
            while chunk := connection.recv(65536):
                body += chunk
            say(event="end", body=body.decode())
            return connection.session
    except OSError as error:
        say(event="error", error=str(error))
        return None


def say(**event):
    print(json.dumps(event), flush=True)


main()
