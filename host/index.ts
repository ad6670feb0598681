import type { HostContext } from "./context.ts";
import { forwardImports } from "./forward/imports.ts";
import { recordAccepted } from "./gateway/accepted.ts";
import { ControlChannel } from "./gateway/control.ts";
import { type GatewayGrants, gatewayImports, openRecorder, recordedIdentities } from "./gateway/imports.ts";
import { type IdentityClasses, identityClasses } from "./identity/identity-classes.ts";
import { type InstanceLimits, Ledger } from "./io/ledger.ts";
import { NetworkAccess, type OnRefusal } from "./net/access.ts";
import { limitRefusals } from "./net/refusals.ts";
import { type GrantTexts, Grants } from "./net/grants.ts";
import { InProcessListener } from "./net/in-process.ts";
import { NameLookup, type Resolver } from "./net/name-lookup.ts";
import { type TlsGrants, tlsOptions } from "./tls/grants.ts";
import { type ConnectionImports, connectionImports } from "./tls/imports.ts";
import { TlsHost } from "./tls/tls-host.ts";
import { ed25519Imports, type SignerGrants } from "./tokens/imports.ts";
import { type CliOptions, cliImports } from "./wasi/cli.ts";
import { clocksImports } from "./wasi/clocks.ts";
import { type Preopen, filesystemImports } from "./wasi/filesystem.ts";
import { ioImports } from "./wasi/io.ts";
import { randomImports } from "./wasi/random.ts";
import { socketsImports } from "./wasi/sockets.ts";
import { wasiTlsImports } from "./wasi/tls.ts";

export { Exit } from "./wasi/cli.ts";
export { PreopenError } from "./wasi/filesystem.ts";
export { GrantError } from "./net/grants.ts";
export { KeyFileError, loadAnchors, loadIdentity, parseIdentityOption } from "./identity/key-file.ts";
export type { TlsGrants } from "./tls/grants.ts";
export { AuditError, type AuditGrant } from "./gateway/audit-log.ts";
export { ControlChannel } from "./gateway/control.ts";
export type { DialGrant } from "./gateway/dial-rules.ts";
export type { GatewayGrants } from "./gateway/imports.ts";
export type { SecretForm, SecretGrant } from "./gateway/secret-grants.ts";
export type { SecretSource } from "./gateway/secret-source.ts";
export type { SignerGrants } from "./tokens/imports.ts";
export { type SignerGrant, SigningError, SigningKey, type SigningLimits } from "./tokens/signing-key.ts";

/** What an instance is given. Everything is optional, and what is left out is not there. */
export interface ImportsOptions extends CliOptions {
  /** What it may reach on the network, and where it may listen. Nothing by default. */
  grants?: GrantTexts;
  /** What it may do with TLS. */
  tls?: TlsGrants;
  /** Keys with which it may have tokens signed. */
  signers?: SignerGrants;
  /** What it is given of `sallyport:gateway`. */
  gateway?: GatewayGrants;
  /** Directories that it sees. */
  preopens?: readonly Preopen[];
  limits?: Partial<InstanceLimits>;
  /** Let a guest drop a stream or socket before what was made from it. Wasmtime traps, and so does this host by default. */
  lenientDrops?: boolean;
  /** Listening sockets share their port with those of other threads. */
  reusePort?: boolean;
  /** Take clients in the own process (`Imports.inProcess`), where the component listens on `[100::]:1` and that is granted. */
  inProcess?: boolean;
  /** How names are resolved; as the operating system does by default. */
  resolver?: Resolver;
  /** Told of every refusal, in one line that names the missing grant. */
  onRefusal?: OnRefusal;
}

/** The imports of one instance. */
export interface Imports {
  /** For `instantiate` of a component that jco transpiled with `--instantiation`. Interfaces are there with and without version. */
  imports: Record<string, object>;
  /** What the instance holds at the moment. */
  ledger: Ledger;
  /** Through which a component that imports `sallyport:gateway/control` is told things. */
  control: ControlChannel;
  /** Through which clients in the own process come. */
  inProcess: InProcessListener | undefined;
  /** The instance is gone: close the sockets, files and timers that it still holds. Safe to call twice. */
  dispose(): void;
}

/**
 * Make the imports of one component instance.
 *
 * @throws {GrantError} when a grant is not understood.
 * @throws {PreopenError} when a preopen is no directory.
 * @throws {AuditError} when the audit file cannot be used.
 */
export function createImports(options: ImportsOptions = {}): Imports {
  const ledger = new Ledger({ strict: options.lenientDrops !== true, ...(options.limits === undefined ? {} : { limits: options.limits }) });
  const onRefusal = limitRefusals(options.onRefusal ?? (() => {}));
  const access = new NetworkAccess(Grants.parse(options.grants ?? {}), onRefusal);
  const lookup = new NameLookup(access, options.resolver);
  const control = new ControlChannel();
  const recorder = openRecorder(options.gateway ?? {}, ledger);
  const onAccept = recordAccepted(ledger, recorder, options.gateway?.rates);
  const inProcess = options.inProcess === true ? new InProcessListener() : undefined;
  if (inProcess !== undefined) ledger.own(() => inProcess.close());
  const context: HostContext = { ledger, access, lookup, onRefusal, inProcess, reusePort: options.reusePort ?? false, onAccept };
  const tls = new TlsHost(tlsOptions(options.tls ?? {}, onRefusal));
  ledger.own(() => tls.close());
  const identities = identityClasses({
    ledger,
    onRefusal,
    identities: recordedIdentities(tls.options.identities, ledger, recorder),
    get hostAnchors() {
      return tls.anchors;
    },
  });
  const connections = connectionImports({ ledger, tls, identities });
  const interfaces: Record<string, object> = {
    ...ioImports,
    ...clocksImports(ledger),
    ...randomImports,
    ...cliImports(ledger, options),
    ...socketsImports(context),
    ...filesystemImports(context, options.preopens ?? []),
    ...tlsImports(ledger, tls, identities, connections),
    ...ed25519Imports(ledger, options.signers),
    ...gatewayImports({ ledger, recorder, control, identities, tls, connections, resolver: options.resolver }, options.gateway ?? {}),
  };
  return { imports: withVersions(interfaces), ledger, control, inProcess, dispose: () => ledger.close() };
}

function tlsImports(ledger: Ledger, tls: TlsHost, identities: IdentityClasses, connections: ConnectionImports): Record<string, object> {
  return {
    "sallyport:tls/types": {},
    "sallyport:tls/identities": identities,
    "sallyport:tls/connection": connections,
    "sallyport:tls/forward": forwardImports(ledger),
    "wasi:tls/types": wasiTlsImports(ledger, tls),
  };
}

/** jco's emitted code asks without version, its declarations and other tools with one. */
function withVersions(interfaces: Record<string, object>): Record<string, object> {
  const both: Record<string, object> = { ...interfaces };
  for (const [name, it] of Object.entries(interfaces)) both[`${name}@${versionOf(name)}`] = it;
  return both;
}

function versionOf(name: string): string {
  if (name.startsWith("wasi:tls/")) return "0.2.0-draft";
  return name.startsWith("wasi:") ? "0.2.12" : "0.1.0";
}
