import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import type { InputStream, OutputStream } from "wasi:io/streams@0.2.12";
import { Client, ClientSuspension, Server, ServerSuspension } from "sallyport:tls/connection@0.1.0";
import { forward, relay } from "sallyport:tls/forward@0.1.0";
import { isErrorValue } from "../../../src/bindings/errors.ts";
import { u64 } from "../../../src/bindings/integers.ts";
import { makeClient, makeServer } from "../../conformance/guests/pair.ts";
import type { Attack } from "./attack.ts";

/** A handle, and how many pollables live on it: only then wasi:io forbids to drop it. */
interface Held {
  kind: "tls" | "input" | "output" | "pollable" | "client suspension" | "server suspension" | "other";
  it: Disposable;
  pollables: number;
  parent?: Held;
  /** Where bytes from here make sense: the other end of a handshake. */
  mate?: Held;
}

/** Does anything with anything, as a seed says, and drops it all in any order. */
export const random: Record<string, Attack> = {
  random([seed, steps], say) {
    const next = randomNumbers(Number(seed));
    const held: Held[] = [];
    let [refused, broken, established] = [0, 0, 0];
    for (let i = 0; i < Number(steps); i++) {
      try {
        step(held, next);
      } catch (error) {
        if (isErrorValue(error)) refused++;
        else broken++;
      }
      if (i % 20 === 0) pause();
      if (i % 100 === 0) established += held.filter(isEstablished).length;
    }
    while (held.length > 0) drop(held, Math.floor(next() * held.length));
    pause();
    say(`shook hands ${established}`);
    say(`survived ${steps} steps; ${refused > 0 ? "some" : "none"} refused; ${broken} errors of the engine`);
  },
};

function isEstablished({ kind, it }: Held): boolean {
  if (kind !== "tls") return false;
  try {
    (it as Client).localIdentity()?.[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

function step(held: Held[], next: () => number): void {
  const choice = Math.floor(next() * 20);
  const pick = <T extends Disposable>(...kinds: Held["kind"][]): Held & { it: T } => {
    const fitting = held.filter(({ kind }) => kinds.includes(kind));
    const found = fitting[Math.floor(next() * fitting.length)];
    if (found === undefined) return keep(held, "other", subscribeDuration(u64(1))) as Held & { it: never };
    return found as Held & { it: T };
  };
  const isA = (entry: Held, ...kinds: Held["kind"][]) => kinds.includes(entry.kind);
  switch (choice) {
    case 0: {
      if (held.length > 200) return;
      const points = { verifyServerIdentity: next() < 0.3, connected: next() < 0.3 };
      const servers = { clientHello: next() < 0.3, accepted: next() < 0.3, verifyClientIdentity: next() < 0.2 };
      const asks = next() < 0.3 ? ("required" as const) : undefined;
      const clientIdentity = next() < 0.5 ? "client" : undefined;
      const identity = next() < 0.1 ? "expired" : "server";
      const [client, server] = [makeClient({ client: points, clientIdentity }), makeServer({ server: servers, asks, identity })];
      const [a, b] = [client, server].map((tls) => {
        keep(held, "tls", tls);
        const { publicInput, publicOutput, privateInput, privateOutput } = tls.streams();
        keep(held, "input", privateInput);
        keep(held, "output", privateOutput);
        if (next() < 0.95) tls.start();
        return { input: keep(held, "input", publicInput), output: keep(held, "output", publicOutput) };
      });
      a!.input.mate = b!.output;
      b!.input.mate = a!.output;
      return;
    }
    case 1:
      // Let what is joined go on for a while.
      for (const source of held.filter(({ mate }) => mate !== undefined)) carry(held, source, source.mate!, 65_536);
      return;
    case 2: {
      const entry = pick<InputStream>("input", "output");
      if (!isA(entry, "input", "output")) return;
      keep(held, "pollable", entry.it.subscribe(), entry);
      return;
    }
    case 3: {
      const entry = pick<Client>("tls");
      if (!isA(entry, "tls")) return;
      const tls: Client | Server = entry.it;
      if (tls instanceof Client) keep(held, "client suspension", tls.suspend());
      else keep(held, "server suspension", (tls as Server).suspend());
      return;
    }
    case 4: {
      const entry = pick<ClientSuspension>("client suspension");
      if (!isA(entry, "client suspension")) return;
      held.splice(held.indexOf(entry), 1);
      ClientSuspension.resume(entry.it);
      return;
    }
    case 5: {
      const entry = pick<ServerSuspension>("server suspension");
      if (!isA(entry, "server suspension")) return;
      held.splice(held.indexOf(entry), 1);
      ServerSuspension.resume(entry.it);
      return;
    }
    case 6: {
      const [source, sink] = [pick<InputStream>("input"), pick<OutputStream>("output")];
      if (!isA(source, "input") || !isA(sink, "output") || source.pollables + sink.pollables > 0) return;
      held.splice(held.indexOf(source), 1);
      held.splice(held.indexOf(sink), 1);
      const atEnd = (["propagate", "leave", "abort"] as const)[Math.floor(next() * 3)]!;
      keep(held, "other", forward(source.it, sink.it, { atEnd, limit: next() < 0.5 ? u64(Math.floor(next() * 1000)) : undefined }));
      return;
    }
    case 7: {
      const inputs = held.filter(({ kind, pollables }) => kind === "input" && pollables === 0).slice(0, 2);
      const outputs = held.filter(({ kind, pollables }) => kind === "output" && pollables === 0).slice(0, 2);
      if (inputs.length < 2 || outputs.length < 2 || next() < 0.7) return;
      for (const entry of [...inputs, ...outputs]) held.splice(held.indexOf(entry), 1);
      const [aInput, bInput] = inputs.map(({ it }) => it as InputStream);
      const [aOutput, bOutput] = outputs.map(({ it }) => it as OutputStream);
      keep(held, "other", relay(aInput!, aOutput!, bInput!, bOutput!, { atEnd: "propagate" }));
      return;
    }
    case 8: {
      const entry = pick<Client>("tls");
      if (!isA(entry, "tls")) return;
      if (next() < 0.3) entry.it.abort(Math.floor(next() * 256));
      else if (next() < 0.5) entry.it.closeOutput();
      else entry.it.errorDetail();
      return;
    }
    case 9:
    case 10:
      if (held.length > 0) drop(held, Math.floor(next() * held.length));
      return;
    case 11: {
      const [source, sink] = [pick<InputStream>("input"), pick<OutputStream>("output")];
      if (isA(source, "input") && isA(sink, "output")) carry(held, source, sink, 4096);
      return;
    }
    case 12: {
      const entry = pick<OutputStream>("output");
      if (isA(entry, "output"))
        entry.it.write(new Uint8Array(Math.min(Number(entry.it.checkWrite()), 1000)).fill(Math.floor(next() * 256)));
      return;
    }
    default:
      for (const source of held.filter(({ mate }) => mate !== undefined))
        if (next() < 0.5) carry(held, source, source.mate!, Math.floor(next() * 2000));
      return;
  }
}

/** Move some bytes, if both are still there. */
function carry(held: Held[], source: Held, sink: Held, most: number): void {
  if (!held.includes(source) || !held.includes(sink)) return;
  try {
    const room = Number((sink.it as OutputStream).checkWrite());
    if (room > 0) (sink.it as OutputStream).write((source.it as InputStream).read(u64(Math.min(room, most))));
  } catch (error) {
    if (!isErrorValue(error)) throw error;
  }
}

function keep(held: Held[], kind: Held["kind"], it: Disposable, parent?: Held): Held {
  if (parent !== undefined) parent.pollables++;
  const entry: Held = parent === undefined ? { kind, it, pollables: 0 } : { kind, it, pollables: 0, parent };
  held.push(entry);
  return entry;
}

function drop(held: Held[], index: number): void {
  const entry = held[index]!;
  if (entry.pollables > 0) {
    // Its pollables go first; everything else may go in any order.
    for (const child of held.filter(({ parent }) => parent === entry)) drop(held, held.indexOf(child));
  }
  held.splice(held.indexOf(entry), 1);
  if (entry.parent !== undefined) entry.parent.pollables--;
  entry.it[Symbol.dispose]();
}

function pause(): void {
  const timer = subscribeDuration(u64(1_000_000));
  timer.block();
  timer[Symbol.dispose]();
}

/** Mulberry32. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
