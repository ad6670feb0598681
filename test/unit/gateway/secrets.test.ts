import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:tls";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Authority } from "../../../host/authority/authority.ts";
import { parseLimits } from "../../../host/authority/parse-limits.ts";
import type { SecretGrant, WitForm } from "../../../host/gateway/secret-grants.ts";
import { newPlaceholder } from "../../../host/gateway/placeholders.ts";
import { SecretFetch } from "../../../host/gateway/secret-source.ts";
import { GrantError, type GatewayGrants, type TlsGrants } from "../../../host/index.ts";
import type { OutputStream } from "../../../host/io/output-stream.ts";
import { poll } from "../../../host/io/poll.ts";
import { fillDisk, GatewayInstance, recordsOf, temporaryFolder, type TlsClient } from "../../support/gateway-instance.ts";
import { bytes, witError } from "../../support/host-instance.ts";
import { makePki, type TestPki } from "../../support/pki.ts";

const SECRET = "s3cr3t-value-0123456789";
const BEARER: WitForm = { tag: "field", val: { name: "Authorization", prefix: "Bearer ", suffix: "" } };
const folder = temporaryFolder();
const instances: GatewayInstance[] = [];
let pki: TestPki;
let server: Server;
let port: number;
let received = "";
/** Of the test that runs: what one before it sent may still be on its way. */
let round = 0;

beforeAll(async () => {
  process.env["SALLYPORT_TEST_SECRET"] = SECRET;
  pki = await makePki({ leaf: { dns: ["api.example.com", "shared.example.com"] } });
  server = createServer({ key: pki.leaf.keyPem, cert: pki.chainPem }, (socket) => {
    const own = round;
    socket
      .on("error", () => {})
      .on("data", (data) => {
        if (own === round) received += data.toString("latin1");
        socket.write("ok");
      });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  delete process.env["SALLYPORT_TEST_SECRET"];
  server.close();
  folder.remove();
});
afterEach(() => {
  instances.splice(0).forEach((instance) => instance.dispose());
  received = "";
  round++;
});

let files = 0;
function instance(secret: Partial<SecretGrant> = {}, more: { gateway?: GatewayGrants; tls?: TlsGrants } = {}) {
  const file = folder.path(`audit-${++files}`);
  const grant: SecretGrant = {
    source: { env: "SALLYPORT_TEST_SECRET" },
    servers: [`api.example.com:${port}`],
    forms: [{ field: "authorization", prefix: "Bearer " }],
    ...secret,
  };
  const it = new GatewayInstance({
    gateway: { dial: { allowNetworks: ["127.0.0.0/8"] }, secrets: { token: grant }, audit: { file }, ...more.gateway },
    tls: { anchors: [pki.root.der], ...more.tls },
    resolver: async () => ["127.0.0.1"],
  });
  instances.push(it);
  const records = () => recordsOf(file).filter(({ event }) => String(event).startsWith("secret"));
  return { it, records, secret: it.gateway["sallyport:gateway/secrets"].Secret.open("token"), file };
}

interface ConnectOptions {
  name?: string;
  /** Verified in place of the name. */
  names?: string[];
  anchors?: "own" | "host";
  /** Errors to accept at the verify point. */
  accept?: string[];
  /** How the bytes are carried. */
  carry?: "relay" | "late relay" | "wasi:sockets";
}

/** A client that is established, on a dialled connection. */
async function connected(
  it: GatewayInstance,
  options: ConnectOptions = {},
): Promise<TlsClient & { written(): void; output: OutputStream }> {
  const { name = "api.example.com", names = [], accept, carry = "relay" } = options;
  const { Client, ClientSuspension } = it.gateway["sallyport:tls/connection"];
  const { TrustAnchors } = it.gateway["sallyport:tls/identities"];
  const client = new Client(name, accept === undefined ? { connected: true } : { verifyServerIdentity: true });
  if (options.anchors === "own") client.configureVerification({ anchors: TrustAnchors.fromX509([pki.root.der], false, []), names });
  else if (options.anchors === "host") client.configureVerification({ anchors: TrustAnchors.host(), names });
  else client.configureVerification({ names });
  const { publicInput, publicOutput, privateOutput } = client.streams();
  const transport = carry === "wasi:sockets" ? await it.connect(port) : undefined;
  const { input, output } =
    transport === undefined ? await it.dial(name, port, { connection: 7n }) : { input: transport[1], output: transport[2] };
  const relay = () => it.gateway["sallyport:tls/forward"].relay(publicInput, publicOutput, input, output, { atEnd: "propagate" });
  if (carry !== "late relay") relay();
  client.start();
  if (carry === "late relay") {
    await output.blockingWriteAndFlush(publicInput.read(100n));
    relay();
  }
  await poll([client.subscribe()]);
  const suspension = client.suspend();
  if (accept !== undefined) suspension.acceptPeer(accept);
  ClientSuspension.resume(suspension);
  await expect.poll(() => client.connection.phase.tag).toBe("established");
  return Object.assign(client, { output: privateOutput, written: () => privateOutput.write(bytes("END")) });
}

describe("a secret", () => {
  it("is written as a field into a connection that the host dialled and verified by itself", async () => {
    const { it: guest, secret, records } = instance();
    const client = await connected(guest);
    secret.place(client, BEARER);
    client.written();
    await expect.poll(() => received).toBe(`Authorization: Bearer ${SECRET}\r\nEND`);
    expect(records()).toMatchObject([
      { by: "host", event: "secret", secret: "token", server_name: "api.example.com", field: "Authorization", dial: 1, port },
    ]);
    expect(JSON.stringify(records())).not.toContain(SECRET);
  });

  it("is written behind the word that was granted with it, which the guest neither says nor changes", async () => {
    const { it: guest, secret } = instance({ forms: [{ field: "authorization", scheme: "token" }] });
    const client = await connected(guest);
    const field = (prefix: string) => ({ tag: "field" as const, val: { name: "Authorization", prefix, suffix: "" } });
    for (const prefix of ["token ", "Bearer ", " "])
      expect(await witError(() => secret.place(client, field(prefix)))).toBe("form-not-granted");
    secret.place(client, field(""));
    client.written();
    await expect.poll(() => received).toBe(`Authorization: token ${SECRET}\r\nEND`);
  });

  it("is written as a password and alone, where that was granted", async () => {
    const forms = [{ basic: "Authorization" }, { bare: true as const, prefix: "key=", suffix: "&" }];
    const { it: guest, secret } = instance({ forms });
    const client = await connected(guest);
    secret.place(client, { tag: "basic", val: { name: "authorization", user: "x-access-token" } });
    secret.place(client, { tag: "bare", val: { prefix: "key=", suffix: "&" } });
    client.written();
    const basic = Buffer.from(`x-access-token:${SECRET}`).toString("base64");
    await expect.poll(() => received).toBe(`authorization: Basic ${basic}\r\nkey=${SECRET}&END`);
  });

  it("goes where the guest named the host's own anchors, or a further name that was granted too", async () => {
    const { it: guest, secret } = instance({ servers: [`*.example.com:${port}`] });
    secret.place(await connected(guest, { anchors: "host", names: ["shared.example.com"] }), BEARER);
  });

  it("is fetched from a file and from a program, once or at each use", async () => {
    const path = folder.path("secret");
    writeFileSync(path, "from-a-file\n", { mode: 0o600 });
    const file = instance({ source: { file: path } });
    file.secret.place(await connected(file.it), BEARER);
    const command = instance({ source: { command: ["/bin/sh", "-c", "printf from-a-program"] }, fetch: "use" });
    await poll([command.secret.subscribe()]);
    command.secret.place(await connected(command.it), BEARER);
    await expect.poll(() => received).toContain("from-a-program");
    expect(received).toContain("Bearer from-a-file\r\n");
  });

  it("is fetched by one program at a time, however often it is opened meanwhile", async () => {
    const log = folder.path("fetched");
    const program = `require("node:fs").appendFileSync(${JSON.stringify(log)}, "x"); console.log("printed")`;
    const { it: guest, secret } = instance({ source: { command: [process.execPath, "-e", program] }, fetch: "use" });
    const { Secret } = guest.gateway["sallyport:gateway/secrets"];
    const opened = Array.from({ length: 20 }, () => Secret.open("token"));
    await poll([secret.subscribe(), ...opened.map((one) => one.subscribe())]);
    expect(readFileSync(log, "utf8")).toBe("x");
    await poll([Secret.open("token").subscribe()]);
    expect(readFileSync(log, "utf8")).toBe("xx");
  });

  it("goes over a resumed session, which was verified when it began", async () => {
    const { it: guest, secret } = instance();
    const first = await connected(guest);
    secret.place(first, BEARER);
    first.written();
    await expect.poll(() => received).toContain("END");
    await expect.poll(() => guest.host.ledger.handles).toBeGreaterThan(0);
    first[Symbol.dispose]();
    const second = await connected(guest);
    expect(second.info()?.sessionReused).toBe(true);
    secret.place(second, BEARER);
  });

  it("lists its names and no other is found", async () => {
    const { it: guest } = instance();
    const { Secret } = guest.gateway["sallyport:gateway/secrets"];
    expect(Secret.names()).toEqual(["token"]);
    for (const name of ["", "other", "__proto__", "constructor"]) expect(await witError(() => Secret.open(name))).toBe("not-found");
  });
});

describe("a secret is not written", () => {
  const refusal = async (options: ConnectOptions, ...[secretGrant, more]: Parameters<typeof instance>) => {
    const { it: guest, secret, records } = instance(secretGrant, more);
    const client = await connected(guest, options);
    const error = await witError(() => secret.place(client, BEARER));
    client.written();
    await expect.poll(() => received).toBe("END");
    expect(records()).toMatchObject([
      {
        by: "host",
        event: "secret-refused",
        reason: error,
        secret: "token",
        server_name: options.name ?? "api.example.com",
        field: "Authorization",
        // What the guest's hands were in leads nowhere that the host knows of.
        ...(error === "not-dialled" ? {} : { connection: 7, dial: 1, host: options.name ?? "api.example.com", port }),
      },
    ]);
    expect("dial" in records()[0]!).toBe(error !== "not-dialled");
    return error;
  };

  it("to a server of another name, though its certificate covers the granted one too", async () => {
    expect(await refusal({ name: "shared.example.com" })).toBe("wrong-server");
  });

  it("where the granted name is only sent, and another one verified", async () => {
    expect(await refusal({ names: ["shared.example.com"] })).toBe("wrong-server");
    received = "";
    expect(await refusal({ names: ["api.example.com", "shared.example.com"] })).toBe("wrong-server");
  });

  it("where the granted name is verified, and another one sent", async () => {
    expect(await refusal({ name: "shared.example.com", names: ["api.example.com"] })).toBe("wrong-server");
  });

  it("to the right server on another port", async () => {
    expect(await refusal({}, { servers: ["api.example.com:443"] })).toBe("wrong-server");
  });

  it("to a peer that the guest's own anchors vouch for, though they are the host's too", async () => {
    expect(await refusal({ anchors: "own" })).toBe("not-verified");
  });

  it("to a peer whose verdict was overridden, even with a grant to do so", async () => {
    const tls = { anchors: [], allowInvalid: ["api.example.com:unknown-issuer", "api.example.com:self-signed"] };
    expect(await refusal({ accept: ["unknown-issuer", "self-signed"] }, {}, { tls })).toBe("not-verified");
  });

  it("over a connection that the host did not dial", async () => {
    const { it: guest, secret } = instance();
    const plain = new GatewayInstance({
      grants: { allowNet: [`127.0.0.1:${port}`] },
      tls: { anchors: [pki.root.der] },
    });
    instances.push(plain);
    const client = await connected(plain, { carry: "wasi:sockets" });
    expect(await witError(() => secret.place(client, BEARER))).toBe("not-dialled");
    expect(guest.ledger.handles).toBeGreaterThan(0);
  });

  it("over a connection of which a byte went through the guest's hands", async () => {
    expect(await refusal({ carry: "late relay" })).toBe("not-dialled");
  });

  it("to a certificate of an authority that this component may issue from, though the host trusts it", async () => {
    const authority = await Authority.ephemeral({ limits: parseLimits({ dns: ["example.com"] }), validity: 3600n });
    const leaf = authority.issue({ names: [{ tag: "dns", val: "api.example.com" }], lifetime: 600n, key: "p256" });
    const key = leaf.keyPair.forWorker().key.export({ type: "pkcs8", format: "pem" });
    const cert = leaf.keyPair.chain.certificates.map(String).join("");
    const own = createServer({ key, cert }, (socket) => void socket.on("error", () => {}));
    await new Promise<void>((resolve) => own.listen(0, "127.0.0.1", resolve));
    const other = port;
    port = (own.address() as AddressInfo).port;
    try {
      const more = { gateway: { authorities: { ca: authority.forWorker() } }, tls: { anchors: [authority.chain.der[1]!] } };
      const { it: guest, secret } = instance({}, more);
      expect(await witError(async () => secret.place(await connected(guest), BEARER))).toBe("own-authority");
    } finally {
      port = other;
      own.close();
    }
  });

  it("in a form that was not granted", async () => {
    const { it: guest, secret } = instance();
    const client = await connected(guest);
    const forms: WitForm[] = [
      { tag: "field", val: { name: "X-Log", prefix: "Bearer ", suffix: "" } },
      { tag: "field", val: { name: "Authorization", prefix: "token ", suffix: "" } },
      { tag: "field", val: { name: "Authorization", prefix: "Bearer ", suffix: "x" } },
      { tag: "basic", val: { name: "Authorization", user: "a" } },
      { tag: "bare", val: { prefix: "Bearer ", suffix: "" } },
    ];
    for (const form of forms) expect(await witError(() => secret.place(client, form))).toBe("form-not-granted");
  });

  it("in a form that would break out of its line", async () => {
    const { it: guest, secret, records } = instance({ forms: [{ basic: "Authorization" }] });
    const client = await connected(guest);
    const fields = ["A\r\nB", "A:", "A B", "", "\0"].map((name): WitForm => ({ tag: "basic", val: { name, user: "a" } }));
    const users = ["a\r\nX: y", "a:b", "a\n", "\u00e9"].map((user): WitForm => ({ tag: "basic", val: { name: "Authorization", user } }));
    for (const form of [...fields, ...users]) expect(await witError(() => secret.place(client, form))).toBe("invalid-argument");
    // No text of the guest's that is no field's name gets into the record.
    expect(records()).toHaveLength(fields.length + users.length);
    for (const record of records()) {
      expect(record).toMatchObject({ event: "secret-refused", connection: 7, port });
      expect(record).not.toHaveProperty("field");
    }
  });

  it("before the connection is established, and after it ended", async () => {
    const { it: guest, secret } = instance();
    const early = new guest.gateway["sallyport:tls/connection"].Client("api.example.com", {});
    expect(await witError(() => secret.place(early, BEARER))).toBe("wrong-phase");
    const client = await connected(guest);
    client.abort(80);
    expect(await witError(() => secret.place(client, BEARER))).toBe("wrong-phase");
  });

  it("that is still being fetched, or cannot be", async () => {
    const slow = instance({ source: { command: ["/bin/sleep", "20"] } });
    const client = await connected(slow.it);
    expect(await witError(() => slow.secret.place(client, BEARER))).toBe("not-ready");
    for (const source of [
      { env: "SALLYPORT_NOT_SET" },
      { file: folder.path("nothing") },
      { command: ["/bin/false"] },
      { command: ["/none"] },
    ]) {
      const { it: guest, secret } = instance({ source });
      await poll([secret.subscribe()]);
      expect(await witError(async () => secret.place(await connected(guest), BEARER))).toBe("unavailable");
    }
  });

  it("that holds a line break, or another control character", async () => {
    for (const value of ["a\r\nX: y", "a\nb", "a\0b", "\n", "a\x7f", "x".repeat(20_000)]) {
      const path = folder.path(`bad-${++files}`);
      writeFileSync(path, value, { mode: 0o600 });
      const { it: guest, secret } = instance({ source: { file: path } });
      expect(await witError(async () => secret.place(await connected(guest), BEARER))).toBe("unavailable");
    }
  });

  it("from a file that others may read", () => {
    const path = folder.path("open-secret");
    writeFileSync(path, SECRET);
    chmodSync(path, 0o644);
    expect(new SecretFetch({ file: path }).state.tag).toBe("unavailable");
  });

  it("where its use cannot be recorded", async () => {
    const { it: guest, secret, file } = instance();
    const client = await connected(guest);
    fillDisk(file);
    expect(await witError(() => secret.place(client, BEARER))).toBe("not-recorded");
    client.written();
    await expect.poll(() => received).toBe("END");
  });
});

describe("a secret's value", () => {
  it("is shown by nothing that prints objects", () => {
    const { state } = new SecretFetch({ env: "SALLYPORT_TEST_SECRET" });
    expect(state.tag).toBe("ready");
    for (const shown of [
      inspect(state, { depth: 9, showHidden: true }),
      JSON.stringify(state),
      `${state.tag === "ready" ? state.value : ""}`,
    ])
      expect(shown).not.toContain(SECRET);
  });

  it("is granted only with servers, ports and forms", () => {
    for (const secret of [
      { servers: [] },
      { forms: [] },
      { servers: ["api.example.com"] },
      { servers: ["*:443"] },
      { servers: ["0.0.0.0/0:443"] },
      { forms: [{ field: "A B" }] },
      { forms: [{ field: "A", prefix: "x\r\n" }] },
    ])
      expect(() => instance(secret)).toThrow(GrantError);
  });
});

describe("a head with placeholders, sent by a component that says what it likes", () => {
  const placeholder = newPlaceholder();
  const HEAD = `GET / HTTP/1.1\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`;
  const places = [{ secret: "token", field: "Authorization" }];
  const replacing = { placeholder, forms: [{ replaces: "authorization" }] };
  const refused = (file: string) => recordsOf(file).filter(({ event }) => event === "placeholder-refused");

  it("gets the secret in its place, on a connection that the host dialled and verified", async () => {
    const { it: guest, records } = instance(replacing);
    const client = await connected(guest);
    const secrets = guest.gateway["sallyport:gateway/secrets"];
    expect(secrets.placeholders()).toEqual(["token"]);
    secrets.sendHead(client.output, bytes(HEAD), places);
    await expect.poll(() => received).toBe(HEAD.replace(placeholder, SECRET));
    expect(records()).toMatchObject([{ event: "secret", secret: "token", field: "authorization", placeholder: true, dial: 1 }]);
  });

  it.each([
    ["no place named", {}, {}, [], "misplaced"],
    ["a place that was not granted", { forms: [{ replaces: "x-token" }] }, {}, places, "misplaced"],
    ["a place for another secret", {}, {}, [{ secret: "nobody", field: "authorization" }], "misplaced"],
    ["another server", {}, { name: "shared.example.com" }, places, "wrong-server"],
    ["another port", { servers: ["api.example.com:1"] }, {}, places, "wrong-server"],
    ["anchors of its own", {}, { anchors: "own" as const }, places, "not-verified"],
    ["bytes through its own hands", {}, { carry: "late relay" as const }, places, "not-dialled"],
  ])("gets nothing with %s, and that is recorded", async (_, grant, options, named, reason) => {
    const { it: guest, file } = instance({ ...replacing, ...grant });
    const client = await connected(guest, options);
    const { sendHead } = guest.gateway["sallyport:gateway/secrets"];
    expect(await witError(() => sendHead(client.output, bytes(HEAD), named))).toBe(reason);
    client.written();
    await expect.poll(() => received).toBe("END");
    expect(refused(file)).toMatchObject([{ by: "host", reason }]);
    expect(JSON.stringify(refused(file))).not.toContain(placeholder);
  });

  it("gets nothing on a stream that is no TLS connection's private output", async () => {
    const { it: guest, file } = instance(replacing);
    const { output } = await guest.dial("api.example.com", port);
    const { sendHead } = guest.gateway["sallyport:gateway/secrets"];
    expect(await witError(() => sendHead(output, bytes(HEAD), places))).toBe("not-verified");
    expect(refused(file)).toMatchObject([{ reason: "not-verified", host: "api.example.com", port }]);
  });

  it("is the only way: a secret with a placeholder stands in no form that a component asks for", async () => {
    const { it: guest, secret } = instance(replacing);
    const client = await connected(guest);
    for (const prefix of ["", "Bearer "])
      expect(await witError(() => secret.place(client, { tag: "field", val: { name: "authorization", prefix, suffix: "" } }))).toBe(
        "form-not-granted",
      );
  });

  it("is refused as often as it comes, and does not fill the log with that", async () => {
    const { it: guest, file } = instance(replacing);
    const client = await connected(guest);
    const { sendHead } = guest.gateway["sallyport:gateway/secrets"];
    // One second, however long this takes.
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      for (let i = 0; i < 1500; i++) expect(await witError(() => sendHead(client.output, bytes(HEAD), []))).toBe("misplaced");
    } finally {
      vi.useRealTimers();
    }
    guest.dispose();
    expect(refused(file)).toHaveLength(1000);
    expect(recordsOf(file).filter(({ event }) => event === "over-limit")).toMatchObject([{ limit: "refused-placeholders", count: 500 }]);
  });

  it("gets a secret so often in a second as its uses may be recorded, and no more", async () => {
    const { it: guest, file, records } = instance(replacing);
    const client = await connected(guest);
    const { sendHead } = guest.gateway["sallyport:gateway/secrets"];
    const many = bytes(`Authorization: ${placeholder}\r\n`.repeat(1500));
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      for (let i = 0; i < 6; i++) {
        await expect.poll(() => client.output.checkWrite()).toBeGreaterThan(100_000n);
        sendHead(client.output, many, places);
      }
      expect(await witError(() => sendHead(client.output, many, places))).toBe("not-recorded");
    } finally {
      vi.useRealTimers();
    }
    guest.dispose();
    expect(records()).toHaveLength(9000);
    expect(recordsOf(file).filter(({ event }) => event === "over-limit")).toMatchObject([{ limit: "secrets", count: 1 }]);
  });

  it("gets nothing that cannot be recorded, and nothing for a head that is too long", async () => {
    const { it: guest, file } = instance(replacing);
    const client = await connected(guest);
    const { sendHead } = guest.gateway["sallyport:gateway/secrets"];
    expect(await witError(() => sendHead(client.output, new Uint8Array(192 * 1024 + 1), places))).toBe("invalid-argument");
    fillDisk(file);
    expect(await witError(() => sendHead(client.output, bytes(HEAD), places))).toBe("not-recorded");
    expect(received).toBe("");
  });
});
