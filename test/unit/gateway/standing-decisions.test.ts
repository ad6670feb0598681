import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { ConversationResource } from "../../../host/forward/http1-conversation-imports.ts";
import type { GatewayGrants } from "../../../host/index.ts";
import { InputStream } from "../../../host/io/input-stream.ts";
import { OutputStream } from "../../../host/io/output-stream.ts";
import { type Pipe, pipe } from "../../../host/io/pipe.ts";
import { fillDisk, GatewayInstance, recordsOf, temporaryFolder } from "../../support/gateway-instance.ts";
import { witError } from "../../support/host-instance.ts";

const folder = temporaryFolder();
const instances: GatewayInstance[] = [];
afterEach(() => instances.splice(0).forEach((instance) => instance.dispose()));
afterAll(() => folder.remove());

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
let files = 0;

/** A conversation in memory, with a server that answers whatever it gets before its head was written to the end. */
function setup(grants: Omit<GatewayGrants, "audit"> = {}) {
  const file = folder.path(`audit-${++files}`);
  const instance = new GatewayInstance({ gateway: { audit: { file }, ...grants } });
  instances.push(instance);
  const { ledger } = instance;
  const [fromClient, toClient, fromServer, toServer] = [pipe(1 << 22), pipe(1 << 22), pipe(1 << 22), pipe(1 << 22)];
  const http = instance.gateway["sallyport:gateway/http"];
  const conversation = http.Conversation.start(
    new InputStream(ledger, fromClient.source),
    new OutputStream(ledger, toClient.sink),
    new InputStream(ledger, fromServer.source),
    new OutputStream(ledger, toServer.sink),
    { headLimit: 16 * 1024, allowUnauthenticatedEnd: false },
  );
  const heads: string[] = [];
  let answers = true;
  toServer.source.changed.listen(() => {
    const head = arrived(toServer);
    if (head === "") return;
    heads.push(head);
    if (answers) send(fromServer, OK);
  });
  const edits = http.Edits.make([], [["X-In", "1"]]);
  return {
    conversation,
    heads,
    file,
    client: (text: string) => send(fromClient, text),
    atClient: () => arrived(toClient),
    always: (reason = "rule 1") => conversation.forwardAlways(edits, { kind: "request", connection: 7n, reason } as never),
    answer: () => send(fromServer, OK),
    silence: () => (answers = false),
    endServer: () => fromServer.sink.end(),
    reasons: () => recordsOf(file).map(({ reason }) => reason),
  };
}

function send(to: Pipe, text: string): void {
  to.sink.write(Buffer.from(text, "latin1"));
}

function arrived(at: Pipe): string {
  let all = "";
  for (let chunk = at.source.read(1 << 20); chunk.length > 0; chunk = at.source.read(1 << 20)) all += String.fromCharCode(...chunk);
  return all;
}

const get = (target: string, host = "a.test", method = "GET") => `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`;

/** What is asked, or the tag of another turn. */
function asked(conversation: ConversationResource): string {
  const turn = conversation.next();
  return turn.tag === "request" ? `${turn.val.method} ${turn.val.target} ${turn.val.host}` : turn.tag;
}

describe("a decision that holds always", () => {
  it("is asked for once, and every request like it goes on in the same way and is recorded", () => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    expect(it.reasons()).toEqual([]);
    for (let i = 0; i < 3; i++) {
      it.client(get("/a"));
      expect(asked(it.conversation)).toBe("none");
    }
    expect(it.heads).toEqual(Array(4).fill("GET /a HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nX-In: 1\r\n\r\n"));
    expect(it.atClient()).toBe(OK.repeat(4));
    expect(recordsOf(it.file)).toEqual(Array(3).fill(expect.objectContaining({ by: "component", connection: 7, reason: "rule 1" })));
    expect(it.conversation.totals()).toMatchObject({ fromClient: BigInt(4 * get("/a").length), unasked: 3n });
  });

  it("is recorded with the time of each request", async () => {
    const it = setup();
    const before = Date.now();
    it.client(get("/a"));
    it.always();
    while (Date.now() < before + 5) await new Promise((resolve) => setImmediate(resolve));
    it.client(get("/a"));
    const [record] = recordsOf(it.file);
    expect(Date.parse(String(record!["time"]))).toBeGreaterThanOrEqual(before + 5);
    expect(Object.keys(record!)[0]).toBe("time");
  });

  it("serves ten thousand requests that were sent at once, and takes no deeper stack for them", () => {
    const it = setup({ rates: { auditRecordsPerConnection: 20_000, auditRecords: 20_000 } });
    it.client(get("/a").repeat(200));
    it.always();
    expect(it.conversation.totals().unasked).toBe(199n);
    for (let i = 0; i < 50; i++) it.client(get("/a").repeat(200));
    expect([it.conversation.totals().unasked, asked(it.conversation)]).toEqual([10_199n, "none"]);
  });

  it("goes on with a body of its own, whatever its framing", () => {
    const it = setup();
    it.silence();
    it.client("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
    it.always();
    it.answer();
    it.client("POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    it.answer();
    expect(asked(it.conversation)).toBe("none");
    expect(it.heads.join("")).toContain("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  });

  it("tells which request did not go on, and gives it back", () => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    it.client(get("/b"));
    it.always();
    it.silence();
    it.client(get("/a"));
    it.endServer();
    expect(it.conversation.next()).toEqual({ tag: "stopped", val: { tag: "not-answered" } });
    expect(it.conversation.last()).toMatchObject({ method: "GET", target: "/a", host: "a.test" });
    expect(String.fromCharCode(...it.conversation.takeBack()[0].read(1000n))).toBe(get("/a"));
  });
});

describe("a decision that holds always does not", () => {
  it.each([
    ["another target", get("/a?b")],
    ["a target in other letters", get("/A")],
    ["another method", get("/a", "a.test", "HEAD")],
    ["another host", get("/a", "b.test")],
    ["another port", get("/a", "a.test:8443")],
    ["a host in other letters", get("/a", "A.test")],
  ])("hold for %s", (_, text) => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    it.client(text);
    expect(it.conversation.next().tag).toBe("request");
    expect(it.heads).toHaveLength(1);
  });

  it("hold for what is no plain request", () => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    it.client("GET /a HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n");
    expect(it.conversation.next()).toEqual({ tag: "stopped", val: { tag: "not-plain" } });
    expect(it.heads).toHaveLength(1);
  });

  it("hold once it was forgotten, for requests that were sent before as well", () => {
    const it = setup();
    it.client(get("/a") + get("/b") + get("/a"));
    it.always();
    expect(asked(it.conversation)).toBe("GET /b a.test");
    it.conversation.forget();
    it.always();
    expect(asked(it.conversation)).toBe("GET /a a.test");
  });

  it("let anything go on that cannot be recorded", () => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    fillDisk(it.file);
    it.client(get("/a"));
    expect(asked(it.conversation)).toBe("GET /a a.test");
    expect([it.heads.length, it.conversation.totals().unasked]).toEqual([1, 0n]);
  });

  it("get around how much may be recorded of one connection", () => {
    const it = setup({ rates: { auditRecordsPerConnection: 3 } });
    it.client(get("/a"));
    it.always();
    for (let i = 0; i < 4; i++) it.client(get("/a"));
    expect(asked(it.conversation)).toBe("GET /a a.test");
    expect([it.heads.length, it.reasons().length]).toEqual([4, 3]);
  });

  it("make the host keep much: neither a long request, nor a long record, nor more than sixteen", () => {
    const it = setup();
    const isKept = (target: string, reason?: string) => {
      it.client(get(target));
      it.always(reason);
      it.client(get(target));
      const isAsked = asked(it.conversation) !== "none";
      if (isAsked) it.always(reason);
      return !isAsked;
    };
    expect([isKept(`/${"a".repeat(501)}`), isKept(`/${"a".repeat(500)}`)]).toEqual([false, true]);
    const event = { kind: "request", target: "t".repeat(1000), path: "p".repeat(1000) };
    it.client(get("/long"));
    it.conversation.forwardAlways({ edits: { apply: () => "GET /long HTTP/1.1\r\n\r\n" } } as never, event);
    it.client(get("/long"));
    expect(asked(it.conversation)).toBe("GET /long a.test");
    it.always();
    for (let i = 0; i < 16; i++) expect(isKept(`/${i}`)).toBe(true);
    it.client(get("/15"));
    expect(asked(it.conversation)).toBe("none");
    it.client(get("/long"));
    expect(asked(it.conversation)).toBe("GET /long a.test");
  });

  it("come about without a request to decide on", async () => {
    const it = setup();
    expect(await witError(() => it.always())).toBe("wrong-phase");
    it.client(get("/a"));
    expect(asked(it.conversation)).toBe("GET /a a.test");
    expect(it.heads).toEqual([]);
  });

  it("outlast the wish to take no further request", () => {
    const it = setup();
    it.client(get("/a"));
    it.always();
    it.conversation.finish();
    it.client(get("/a"));
    expect(it.conversation.next()).toEqual({ tag: "stopped", val: { tag: "finished" } });
    expect(it.heads).toHaveLength(1);
  });
});
