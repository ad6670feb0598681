import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { KeyPair } from "../../host/identity/private-identity.ts";
import type { TlsGrants } from "../../host/index.ts";
import { builtComponent } from "../support/built-component.ts";
import { type Certified, EKU, makeCertificate } from "../support/pki.ts";

const here = dirname(fileURLToPath(import.meta.url));

/**
 * The path of a program of this suite, from the last build if nothing has changed since.
 *
 * @param name `tls` or `wasi`
 */
export async function builtProgram(name: "tls" | "wasi"): Promise<string> {
  return await builtComponent({
    name: `conformance-${name}`,
    entry: join(here, "guests", `${name}.ts`),
    wit: join(here, "conformance.wit"),
    world: `${name}-suite`,
  });
}

/** What the TLS suite has to be granted: see README.md. */
export async function suiteGrants(): Promise<TlsGrants> {
  const authority = await makeCertificate({ isCa: true });
  const intermediate = await makeCertificate({ isCa: true }, authority);
  const strangers = await makeCertificate({ isCa: true });
  const names = { dns: ["server.test", "also.server.test", "granted.test", "denied.test"], ip: ["127.0.0.1"] };
  const identity = (leaf: Certified, ...issuers: Certified[]) =>
    KeyPair.parse(leaf.keyDer, [leaf.der, ...issuers.map((issuer) => issuer.der)], "host").forWorker();
  const past = { notBefore: new Date(Date.now() - 2 * 86_400_000), notAfter: new Date(Date.now() - 86_400_000) };
  return {
    anchors: [authority.der],
    identities: {
      server: identity(await makeCertificate(names, intermediate), intermediate),
      second: identity(await makeCertificate({ dns: ["second.test"] }, intermediate), intermediate),
      rsa: identity(await makeCertificate({ ...names, keyType: "rsa2048" }, intermediate), intermediate),
      client: identity(await makeCertificate({ dns: ["client.test"], eku: [EKU.clientAuth] }, intermediate), intermediate),
      expired: identity(await makeCertificate({ ...names, ...past }, intermediate), intermediate),
      stranger: identity(await makeCertificate(names, strangers)),
      "self-signed": identity(await makeCertificate(names)),
    },
    allowInvalid: ["granted.test:unknown-issuer"],
  };
}

/** The peer of the suite's TCP transports: joins every two connections, in the order in which they come. */
export interface Crossover {
  /** `address:port`. */
  address: string;
  /** Everything that went through, both directions of all connections. */
  seen(): Buffer;
  close(): Promise<void>;
}

export async function crossover(): Promise<Crossover> {
  const open = new Set<Socket>();
  const seen: Buffer[] = [];
  let waiting: Socket | undefined;
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    const other = waiting;
    waiting = other === undefined ? socket : undefined;
    if (other === undefined) return;
    join2(socket, other);
    join2(other, socket);
  });
  const join2 = (from: Socket, to: Socket) => {
    from.on("data", (chunk: Buffer) => {
      seen.push(chunk);
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    from.on("end", () => to.end());
    // A reset is passed on as one.
    from.on("error", () => to.resetAndDestroy());
    from.resume();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    address: `127.0.0.1:${address.port}`,
    seen: () => Buffer.concat(seen),
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
