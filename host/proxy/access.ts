import { resolve } from "node:path";
import { encodeBase64url } from "../../src/wire/base64url.ts";
import { FileWatch } from "../files/file-watch.ts";
import { readStateFile, StateFileError } from "../tokens/state-file.ts";
import { parseKeyring, parseRevocations, revocationsBeside } from "../tokens/token-files.ts";

/** How clients speak TLS to a proxy itself, and what they show it. */
export interface TlsAccess {
  /** `address:port`, at least one; port 0 lets the system choose. */
  listen: readonly string[];
  /** Name of the identity that clients see. */
  identity: string;
  clientCertificates: "none" | "optional" | "required";
  /** PEM: certificates and revocation lists. For `none` it is not looked at. */
  clientAuthorities: string;
  tokens: "off" | "optional" | "required";
  /** What tokens have to name. */
  audience: string;
  /** `undefined` with tokens that are `off`. */
  trust: TokenTrust | undefined;
  /** Whether connections end whose subject is revoked while they are open. */
  endRevoked: boolean;
}

/** The operator's keyring and revocations, which may change while the proxy runs. */
export class TokenTrust implements Disposable {
  readonly #keyring: string;
  readonly #revocations: string;
  readonly #watch: FileWatch;

  /** @param revocations beside the keyring unless it is given; need not be there */
  constructor(keyring: string, revocations: string | undefined) {
    this.#keyring = resolve(keyring);
    this.#revocations = resolve(revocations ?? revocationsBeside(keyring));
    this.#watch = new FileWatch([this.#keyring, this.#revocations]);
  }

  /**
   * What the component reads: both files in one.
   *
   * @throws {StateFileError} when one of them cannot be used
   */
  read(): string {
    this.#watch.reading();
    const keyring = readStateFile(this.#keyring);
    if (keyring === undefined) throw new StateFileError("unreadable", `${this.#keyring}: there is no such keyring`);
    const keys = parseKeyring(keyring, this.#keyring);
    const revocations = readStateFile(this.#revocations);
    const revoked = revocations === undefined ? [] : parseRevocations(revocations, this.#revocations);
    return JSON.stringify({ keys: keys.map(({ issuer, publicKey }) => ({ issuer, publicKey: encodeBase64url(publicKey) })), revoked });
  }

  /** Tell of changes since the last `read`. */
  watch(onChange: () => void): void {
    this.#watch.start(WATCH_INTERVAL, onChange);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }
}

/** The component's arguments. @param listen with the ports that the system chose */
export function accessArguments(access: TlsAccess, listen: readonly string[]): string[] {
  return [
    ...listen.flatMap((at) => ["--tls-listen", at]),
    "--tls-identity",
    access.identity,
    "--client-certificates",
    access.clientCertificates,
    "--tokens",
    access.tokens,
    "--audience",
    access.audience,
    ...(access.endRevoked ? ["--end-revoked"] : []),
  ];
}

/** Milliseconds: a revocation holds within a second. */
const WATCH_INTERVAL = 250;
