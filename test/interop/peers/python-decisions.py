"""Asks a component with sallyport:policy/decisions, on Wasmtime. Reads {"component", "policies", "rows"} as JSON from
standard input, prints one answer a line. With policies, those of the interception component answer; without, its decisions."""

import json
import sys

from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record, Variant


def main() -> None:
    work = json.load(sys.stdin)
    engine = Engine(Config())
    store = Store(engine)
    store.set_wasi(WasiConfig())
    linker = Linker(engine)
    linker.add_wasip2()
    instance = linker.instantiate(store, Component.from_file(engine, work["component"]))

    def function(interface: str, name: str):
        index = instance.get_export_index(store, f"sallyport:policy/{interface}@0.1.0")
        func = instance.get_func(store, instance.get_export_index(store, name, index))

        def call(*args):
            result = func(store, *args)
            # The embedder of Wasmtime ends each call by itself.
            func.post_return(store)
            return result

        return call

    loaded = {}
    if work["policies"]:
        load = function("interception", "load-policy")
        loaded = {name: load(text) for name, text in work["policies"].items()}
    for row in work["rows"]:
        name = {"connect": "decide-connect", "hello": "decide-client-hello", "request": "decide-request"}[row["ask"]]
        request = REQUESTS[row["ask"]](row["request"])
        if loaded:
            answer = function("interception", f"[method]policy.{name}")(loaded[row["policy"]], request)
        else:
            answer = function("decisions", name)(request)
        print(summary(answer))


def record(**fields) -> Record:
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def hello(request) -> Record:
    name, target = request["serverName"], request.get("target")
    return record(
        server_name=Variant(name["tag"], name.get("val")),
        ech=request["ech"],
        target=None if target is None else record(**target),
        port=request["port"],
        groups=request["groups"],
    )


REQUESTS = {
    "connect": lambda request: record(**request),
    "hello": hello,
    "request": lambda request: record(**{"authority": None, "upgrade": None, **request}),
}


def summary(answer: Variant) -> str:
    value = answer.payload
    get = lambda name: getattr(value, name)
    match answer.tag:
        case "tunnel":
            return words("tunnel", because(value.because), value.host, value.opaque)
        case "intercept":
            return words("intercept", route(value))
        case "front":
            address = "" if value.address is None else f"{value.address.host}:{value.address.port}"
            return words("front", route(value.route), get("server-name"), ",".join(get("verify-names")), address)
        case "allow":
            edits = value.edits
            return words(
                "allow",
                because(value.because),
                ",".join(edits.remove),
                ",".join("=".join(pair) for pair in edits.set),
                ",".join(f"{placement.secret}>{placement.header}" for placement in edits.secrets),
            )
        case "deny":
            return words("deny", because(value))
    raise ValueError(answer.tag)


def route(value: Record) -> str:
    upstream = value.upstream
    return words(
        because(value.because),
        value.host,
        value.inspect,
        ",".join(upstream.alpn),
        ",".join(upstream.anchors),
        getattr(upstream, "only-anchors"),
        ",".join(bytes(pin).hex() for pin in upstream.pins),
        upstream.identity or "",
    )


def because(value: Record) -> str:
    return words(value.reason, value.rule)


def words(*parts) -> str:
    return " ".join(str(part).lower() if isinstance(part, bool) else str(part) for part in parts)


main()
