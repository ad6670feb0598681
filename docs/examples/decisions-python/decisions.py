# Rules of one's own, in place of the JSON policy. Build: componentize-py -d <sallyport>/wit/policy/decisions.wit -w decider componentize decisions -o decisions.wasm
from wit_world.exports import decisions as d

UPSTREAM = d.Upstream(alpn=["http/1.1"], anchors=[], only_anchors=False, pins=[], identity=None)
NOTHING = d.Edits(remove=[], set=[], secrets=[])

def decide_host(host: str, port: int) -> d.ConnectionDecision:
    name = host.lower().removesuffix(".")
    if name != "example.com" or port != 443:
        return d.ConnectionDecision_Deny(d.Because("only-example", "not-listed"))
    return d.ConnectionDecision_Intercept(d.Route(d.Because("example", "host-listed"), name, True, UPSTREAM))

class Decisions:
    def decide_connect(self, request: d.ConnectRequest) -> d.ConnectionDecision:
        return decide_host(request.host, request.port)
    def decide_client_hello(self, request: d.ClientHelloRequest) -> d.ConnectionDecision:
        if not isinstance(request.server_name, d.RequestedName_Dns) or request.ech:
            return d.ConnectionDecision_Deny(d.Because("hello", "no-server-name"))
        return decide_host(request.server_name.value, request.target.port if request.target else request.port)
    def decide_request(self, request: d.HttpRequest) -> d.RequestDecision:
        if request.authority != request.host or request.method != "GET":
            return d.RequestDecision_Deny(d.Because("read-only", "rule"))
        return d.RequestDecision_Allow(d.Allowed(d.Because("read-only", "rule"), NOTHING))
