import type { Flags } from "./command.ts";

/** What every command that runs an instance takes. */
export const instanceFlags: Flags = {
  "allow-net": { type: "string", multiple: true },
  listen: { type: "string", multiple: true },
  identity: { type: "string", multiple: true },
  ca: { type: "string", multiple: true },
  dir: { type: "string", multiple: true },
  env: { type: "string", multiple: true },
  watchdog: { type: "string" },
  memory: { type: "string" },
  "lenient-drops": { type: "boolean" },
  "allow-invalid": { type: "string", multiple: true },
  "no-attach": { type: "boolean" },
  "handshake-timeout": { type: "string" },
};

/** The part of a command's help that describes `instanceFlags`. */
export const instanceFlagsHelp = `Grants (nothing is granted by default; each may be given several times):
  --allow-net TARGET[:PORT]      resolve and connect to a name, *.name, address or range: example.com:443, 10.0.0.0/8;
                                 without a port, to every port
  --listen ADDRESS:PORT          listen there: 127.0.0.1:8443, [::1]:0, :8443
  --identity NAME=CERT[,KEY]     let it use the certificate chain and key in these PEM files, under this name; it never
                                 sees the key. With ,env:VARIABLE for the passphrase of an encrypted key
  --ca FILE                      trust the certification authorities in this PEM file in place of the system's;
                                 --ca system adds those of the system
  --dir HOST[:GUEST[:ro]]        open a folder, under the name GUEST, read-only with :ro
  --env NAME[=VALUE]             set an environment variable; without a value, pass on the one of this process
  --allow-invalid HOST:REASON    let the component override this certificate error for this server

Limits and behaviour:
  --watchdog MS                  end an instance that keeps its thread busy for so long (default 10000)
  --memory MIB                   the most linear memory of an instance (default 512)
  --handshake-timeout MS         end a TLS handshake that is not done by then (default 10000)
  --lenient-drops                tolerate a stream dropped before its pollables, which is a trap otherwise
  --no-attach                    never hand a socket to the TLS library: slower, same behaviour`;
