import { Channel, type Event as ControlEvent } from "sallyport:gateway/control@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { bigintOfU64 } from "../../src/bindings/integers.ts";
import { optional } from "../../src/bindings/option.ts";
import { FolderError } from "../../src/files/preopened.ts";
import { Event, type Nanoseconds, Scope, TimedOut, timeout } from "../../src/reactor/index.ts";
import type { AccessKeys } from "./access-keys.ts";
import { type Clients, HolderRevoked, Stopped } from "./clients.ts";
import { type LivePolicy, PolicyUnusable } from "./live-policy.ts";
import { tell } from "./records.ts";
import { seconds } from "./within.ts";

/** Whose tokens are accepted. */
export interface Access {
  readonly keys: AccessKeys;
  /** Whether connections end whose subject was revoked while they were open. */
  readonly endRevoked: boolean;
}

/** What the host has to say to the proxy while it runs. */
export class Control implements Disposable {
  /** Cancelled when nothing new is taken any more. */
  readonly stopping = new Scope();
  private readonly channel = Channel.open();
  private readonly ready = new Event(() => this.channel.subscribe());
  private readonly live: LivePolicy;
  private readonly access: Access | undefined;
  private readonly clients: Clients;
  private readonly say: (line: string) => Promise<void>;
  private readonly complain: (text: string) => void;
  /** Nanoseconds that what runs still has once the proxy stops. */
  private patience: Nanoseconds = BigInt(0);

  constructor(
    live: LivePolicy,
    access: Access | undefined,
    clients: Clients,
    say: (line: string) => Promise<void>,
    complain: (text: string) => void,
  ) {
    this.live = live;
    this.access = access;
    this.clients = clients;
    this.say = say;
    this.complain = complain;
  }

  /** Wait for the policy that the proxy starts with. @throws {PolicyUnusable} @throws {Stopped} */
  async firstPolicy(): Promise<void> {
    while (!this.live.isThere) {
      const event = await this.next();
      if (event.tag === "stop") throw new Stopped();
      if (event.tag === "revoked") this.revoke(event.val);
      if (event.tag !== "reload") continue;
      this.live.replace(event.val);
      tell("policy", undefined, { reason: "loaded" });
    }
  }

  /** Do what the host says, until it says stop. */
  async follow(): Promise<void> {
    for (;;) {
      const event = await this.next();
      if (event.tag === "stop") return this.stop(bigintOfU64(event.val));
      if (event.tag === "reload") await this.reload(event.val);
      if (event.tag === "revoked") this.revoke(event.val);
    }
  }

  /** After the stop: wait for what runs, then end it. */
  async drained(): Promise<void> {
    try {
      await timeout(this.patience, () => this.clients.untilEmpty());
    } catch (error) {
      if (!(error instanceof TimedOut)) throw error;
      this.clients.end();
      await this.clients.untilEmpty();
    }
  }

  [Symbol.dispose](): void {
    dropInOrder(this.ready, this.channel);
  }

  private async next(): Promise<ControlEvent> {
    for (;;) {
      const event = optional(this.channel.next());
      if (event !== undefined) return event;
      await this.ready.wait();
    }
  }

  private async reload(text: string): Promise<void> {
    const before = this.live.text;
    try {
      // Who is trusted or revoked counts, whatever is wrong with the policy that came with it.
      this.access?.keys.reload();
      this.live.replace(text);
    } catch (error) {
      if (!(error instanceof PolicyUnusable || error instanceof FolderError)) throw error;
      tell("policy", undefined, { reason: "refused", error: error.message });
      this.complain(`the new policy is not used: ${error.message}`);
      await this.say("policy refused");
      return;
    }
    const ended = this.clients.reconsider() + this.expel();
    // The host tells of new keys with the policy that there is.
    tell("policy", undefined, { reason: text === before ? "read-again" : "changed" });
    await this.say(`policy changed ${ended}`);
  }

  private revoke(subject: string): void {
    this.access?.keys.refuse(subject);
    this.expel(true);
  }

  /** @param anyway the host says that they must not be served any more, whatever the command line says */
  private expel(anyway = false): number {
    const { access } = this;
    if (access === undefined || !(anyway || access.endRevoked)) return 0;
    return this.clients.expel(
      (holder) => access.keys.isRevoked(holder),
      () => new HolderRevoked(),
    );
  }

  private stop(left: Nanoseconds): void {
    const drain = seconds(this.live.policy.settings.timeouts.drain);
    // A moment of the deadline is for the end itself.
    const most = left - (left < LAST ? left : LAST);
    this.patience = drain < most ? drain : most;
    this.clients.finish();
    this.stopping.cancel(new Stopped());
  }
}

const LAST: Nanoseconds = BigInt(500_000_000);
