import type { OnAccept } from "./gateway/accepted.ts";
import type { Ledger } from "./io/ledger.ts";
import type { NetworkAccess, OnRefusal } from "./net/access.ts";
import type { InProcessListener } from "./net/in-process.ts";
import type { NameLookup } from "./net/name-lookup.ts";

/** What the interfaces of one instance share. */
export interface HostContext {
  /** What the instance holds, and its limits. Anything of the operating system is entered with `own`. */
  ledger: Ledger;
  /** What it may reach. */
  access: NetworkAccess;
  lookup: NameLookup;
  /** Told of everything that was refused, in one line each. */
  onRefusal: OnRefusal;
  /** Told of every connection before the guest gets it. */
  onAccept: OnAccept;
  /** The clients in the own process, where there may be any. */
  inProcess?: InProcessListener | undefined;
  /** Listening sockets share their port with other threads (SO_REUSEPORT). */
  reusePort: boolean;
}
