import { PrivateIdentity } from "sallyport:tls/identities@0.1.0";
import type { IdentityError } from "sallyport:tls/identities@0.1.0";
import { dropInOrder } from "../../src/bindings/drop.ts";
import { attempt } from "../../src/bindings/errors.ts";
import { wellFormed } from "../../src/bindings/text.ts";
import { type AlternativeNames, readCertificate } from "../../src/wire/certificate.ts";
import { coversName } from "./certificate-names.ts";

/** An identity to serve with: the handle of a key that stays in the host, and what its certificate says. */
export interface ServerIdentity {
  /** The name under which it was granted. */
  readonly name: string;
  readonly handle: PrivateIdentity;
  /** Subject of the certificate, printable. */
  readonly subject: string;
  readonly names: AlternativeNames;
}

/** An identity that cannot be opened. */
export class IdentityNotGranted extends Error {
  readonly code = "ERR_SALLYPORT_IDENTITY";
}

/** The identities of this server, in order of preference. */
export class ServerIdentities implements Disposable {
  readonly all: readonly ServerIdentity[];
  private readonly fallback: ServerIdentity | undefined;

  /**
   * @param names of granted identities; empty: all of them
   * @param hasDefault whether the first one serves clients that ask for no name
   * @throws {IdentityNotGranted}
   */
  constructor(names: readonly string[], hasDefault: boolean) {
    const wanted = names.length > 0 ? names : PrivateIdentity.names();
    if (wanted.length === 0) throw new IdentityNotGranted("no identity was granted: grant one with --identity NAME=CERT,KEY");
    this.all = wanted.map(open);
    this.fallback = hasDefault ? this.all[0] : undefined;
  }

  /** The first identity whose certificate covers `serverName`, or the default if there is no name. */
  choose(serverName: string | undefined): ServerIdentity | undefined {
    if (serverName === undefined) return this.fallback;
    return this.all.find(({ names }) => coversName(names.dns, serverName));
  }

  [Symbol.dispose](): void {
    dropInOrder(...this.all.map(({ handle }) => handle));
  }
}

function open(name: string): ServerIdentity {
  const opened = attempt<PrivateIdentity, IdentityError>(() => PrivateIdentity.open(wellFormed(name)));
  if (opened.tag === "err")
    throw new IdentityNotGranted(`the identity ${JSON.stringify(name)} was not granted: grant it with --identity ${name}=CERT,KEY`);
  using chain = opened.val.publicIdentity();
  const leaf = readCertificate(chain.exportX509Chain()[0]!);
  return { name, handle: opened.val, subject: leaf.subject.text, names: leaf.alternativeNames };
}
