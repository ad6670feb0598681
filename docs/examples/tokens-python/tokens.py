"""Issues, verifies and revokes capability tokens with tokens.wasm: python3 tokens.py tokens.wasm CERTIFICATE.der"""

import sys
from pathlib import Path

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record

TOKENS = "sallyport:policy/tokens@0.1.0"


class Tokens:
    """The component's functions by their WIT names: `tokens("create-verifier", "api")`, `tokens("[method]verifier.verify", …)`."""

    def __init__(self, component: str) -> None:
        engine = Engine()
        linker = Linker(engine)
        linker.add_wasip2()
        self.store = Store(engine)
        # An empty configuration: no files, no environment, no network. The component needs the clock and random numbers.
        self.store.set_wasi(WasiConfig())
        self.instance = linker.instantiate(self.store, Component.from_file(engine, component))

    def __call__(self, name: str, *args):
        interface = self.instance.get_export_index(self.store, TOKENS)
        func = self.instance.get_func(self.store, self.instance.get_export_index(self.store, name, interface))
        return func(self.store, *args)


def channel(certificate_sha256: bytes | None) -> Record:
    """What is known of the connection: here the client's certificate, and no RFC 9266 value."""
    made = Record()
    setattr(made, "certificate-sha256", certificate_sha256)
    setattr(made, "tls-exporter", None)
    return made


def shown(result) -> str:
    """Claims, or the reason why there are none: an enum's value is its name in the WIT, as text."""
    return f"refused, {result}" if isinstance(result, str) else result.subject


def main(component: str, certificate: str) -> None:
    tokens = Tokens(component)
    alice = channel(tokens("certificate-sha256", Path(certificate).read_bytes()))

    issuer = tokens("generate-issuer", "ops-1")
    # A `result` of two strings comes as a Variant ("ok" or "err"); where the types differ, the value comes by itself.
    issued = tokens("[method]issuer.issue", issuer, "alice", ["BEAM"], "api", 3600, alice)
    if issued.tag == "err":
        sys.exit(f"not issued: {issued.payload}")
    verifier = tokens("create-verifier", "api")

    def verify(over: Record) -> str:
        return shown(tokens("[method]verifier.verify", verifier, issued.payload, over))

    print("nobody trusted:", verify(alice))
    tokens("[method]verifier.trust", verifier, "ops-1", tokens("[method]issuer.public-key", issuer))
    print("her certificate:", verify(alice))
    print("another certificate:", verify(channel(bytes(32))))
    tokens("[method]verifier.revoke", verifier, "ops-1", "alice")
    print("revoked:", verify(alice))
    tokens("[method]verifier.unrevoke", verifier, "ops-1", "alice")
    print("taken back:", verify(alice))


main(*sys.argv[1:])
