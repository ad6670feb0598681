import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.12";
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.12";
import { resolveAddresses } from "wasi:sockets/ip-name-lookup@0.2.12";
import type { IpAddress, IpSocketAddress } from "wasi:sockets/network@0.2.12";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.12";
import { u64 } from "../../../src/bindings/integers.ts";
import { errorOf } from "../../conformance/guests/expect.ts";
import type { Attack } from "./attack.ts";

/** Goes where it was not let. */
export const dialing: Record<string, Attack> = {
  /** Each argument is an address as a list of its numbers: four or eight, and a port in the end. */
  dial(args, say) {
    using network = instanceNetwork();
    for (const arg of args) {
      const numbers = arg.split(",").map(Number);
      const port = numbers.pop()!;
      const family = numbers.length === 4 ? "ipv4" : "ipv6";
      const socket = createTcpSocket(family);
      const remote = (family === "ipv4"
        ? { tag: family, val: { port, address: numbers } }
        : { tag: family, val: { port, flowInfo: 0, address: numbers, scopeId: 1 } }) as unknown as IpSocketAddress;
      say(`${arg} ${errorOf(() => socket.startConnect(network, remote))}`);
      say(`${arg} bind ${errorOf(() => createTcpSocket(family).startBind(network, remote))}`);
      socket[Symbol.dispose]();
    }
  },
  /** Each argument is a name; what it resolves to is connected to. */
  resolve(args, say) {
    using network = instanceNetwork();
    for (const name of args) {
      let found: IpAddress | undefined;
      const answer = errorOf(() => {
        using stream = resolveAddresses(network, name);
        {
          using ready = stream.subscribe();
          ready.block();
        }
        found = stream.resolveNextAddress() ?? undefined;
      });
      say(`${JSON.stringify(name)} ${answer}`);
      if (found === undefined) continue;
      const { tag, val } = found;
      const remote = (tag === "ipv4"
        ? { tag, val: { port: 80, address: val } }
        : { tag, val: { port: 80, flowInfo: 0, address: val, scopeId: 0 } }) as unknown as IpSocketAddress;
      say(`${JSON.stringify(name)} connect ${errorOf(() => createTcpSocket(tag).startConnect(network, remote))}`);
    }
  },
  /** More lookups at once than anybody needs. */
  "resolve much"([name], say) {
    using network = instanceNetwork();
    const held: unknown[] = [];
    const answers = new Set<string>();
    for (let i = 0; i < 2000; i++) answers.add(errorOf(() => held.push(resolveAddresses(network, name!))));
    say([...answers].sort().join(" "));
    using timer = subscribeDuration(u64(1_000_000));
    timer.block();
  },
};
