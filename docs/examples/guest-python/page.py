"""Fetches a page over TLS: sallyport run page.wasm --allow-net HOST:PORT -- HOST PORT PATH"""
import sys

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import instance_network, ip_name_lookup, network as net, tcp, tcp_create_socket
from wit_world.imports.connection import Client, ClientSuspension, ClientSuspensionPoints
from wit_world.imports.forward import AtEnd, Options, relay
from wit_world.imports.streams import StreamError_Closed

# componentize-py 0.25.1 takes what a constructor returns for the resource, even where it is a `result` of one, as Client's.
for field in ("handle", "finalizer"):
    setattr(Ok, field, property(lambda ok, field=field: getattr(ok.value, field)))

class Run(exports.Run):
    def run(self) -> None:
        _, host, port, path = sys.argv
        with Client(host, ClientSuspensionPoints.VERIFY_SERVER_IDENTITY) as client:
            try:
                fetch(client, host, int(port), path)
            except Err as refused:
                print(f"page: {client.error_detail() or refused.value}", file=sys.stderr)
                raise Err(None)

def fetch(client: Client, host: str, port: int, path: str) -> None:
    tls = client.streams()
    with connect(host, port) as socket:
        # The host moves the ciphertext.
        with relay(*socket.finish_connect(), tls.public_input, tls.public_output, Options(None, AtEnd.PROPAGATE, None)):
            client.start()
            decide(client)
            tls.private_output.blocking_write_and_flush(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
            try:
                while True:
                    sys.stdout.buffer.write(tls.private_input.blocking_read(65536))
            except Err as end:
                sys.stdout.flush()
                if not isinstance(end.value, StreamError_Closed): raise

def decide(client: Client) -> None:
    """The handshake stands still until the server was looked at. Resuming fails after a verdict that is not empty."""
    block(client)
    suspension = client.suspend()
    print(f"page: {suspension.unverified_chain().fingerprint().hex()} {suspension.at().value.verdict}", file=sys.stderr)
    ClientSuspension.resume(suspension)

def connect(host: str, port: int) -> tcp.TcpSocket:
    network = instance_network.instance_network()
    addresses = ip_name_lookup.resolve_addresses(network, host)
    block(addresses)
    to = addresses.resolve_next_address()
    v4 = isinstance(to, net.IpAddress_Ipv4)
    socket = tcp_create_socket.create_tcp_socket(net.IpAddressFamily.IPV4 if v4 else net.IpAddressFamily.IPV6)
    at = net.Ipv4SocketAddress(port, to.value) if v4 else net.Ipv6SocketAddress(port, 0, to.value, 0)
    socket.start_connect(network, (net.IpSocketAddress_Ipv4 if v4 else net.IpSocketAddress_Ipv6)(at))
    block(socket)
    return socket

def block(on) -> None:
    with on.subscribe() as pollable: pollable.block()
