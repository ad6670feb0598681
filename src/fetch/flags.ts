/** A flag of the command line. */
export interface CommandFlag {
  readonly takesValue: boolean;
  readonly short?: string;
}

const value: CommandFlag = { takesValue: true };
const plain: CommandFlag = { takesValue: false };

const known = {
  output: { takesValue: true, short: "o" },
  include: { takesValue: false, short: "i" },
  location: { takesValue: false, short: "L" },
  request: { takesValue: true, short: "X" },
  header: { takesValue: true, short: "H" },
  data: { takesValue: true, short: "d" },
  fail: { takesValue: false, short: "f" },
  "max-time": value,
  "connect-to": value,
  "no-keepalive": plain,
  json: plain,
  verbose: { takesValue: false, short: "v" },
  silent: { takesValue: false, short: "s" },
  cacert: value,
  crlfile: value,
  cert: value,
  "tls-max": value,
  pinnedpubkey: value,
  "accept-invalid": plain,
  help: { takesValue: false, short: "h" },
} as const satisfies Record<string, CommandFlag>;

export type FlagName = keyof typeof known;

/** Every flag, by its long name. */
export const commandFlags: Record<FlagName, CommandFlag> = known;
