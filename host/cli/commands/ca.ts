import { AuthorityError, type AuthorityErrorCode } from "../../authority/authority-error.ts";
import { caOperations } from "../ca-operations.ts";
import { type Command, CommandError, exitCodes, parseCommandLine, UsageError } from "../command.ts";
import { nearest } from "../suggestion.ts";

export const command: Command = {
  help: `sallyport ca: make and keep the certification authority that interception issues from

Usage: sallyport ca init --permit NAME[,NAME…] [--permit-ip CIDR] [--validity TIME] [--root-key FILE] [--private-suffixes]
       sallyport ca show [--json]
       sallyport ca export [--bundle] [-o FILE]
       sallyport ca renew --root-key FILE [--validity TIME]
       sallyport ca rotate [--permit …] [--permit-ip CIDR] [--validity TIME] [--root-key FILE] [--private-suffixes]
       sallyport ca rotate --confirm
       sallyport ca check [--permit NAME[,NAME…] [--permit-ip CIDR]] [--json]

init    makes a root, and an intermediate that can issue for the permitted names and addresses only: both say so in a form
        that programs which verify certificates enforce. The root's key is destroyed, unless --root-key names a file for it
show    who it is, what it may issue for and until when
export  the roots that clients have to trust, as PEM; with --bundle after those of the system, in a file of mode 0400
renew   gives it a new certificate with the same key; clients need not be told. Needs the root's key
rotate  makes its successor. Both roots are exported from then on; --confirm puts the successor to use and destroys the
        old key, once all clients trust the new root
check   whether it can be used: files, keys, constraints, validity, and that it permits the names given

  --dir DIR            where it is kept (default: $XDG_STATE_HOME/sallyport/ca, or ~/.local/state/sallyport/ca)
  --permit NAME        a name, with all names below it: example.com. Repeated or with commas. No single labels, and no
                       public suffixes such as co.uk
  --permit-ip CIDR     a range of addresses, or one: 10.0.0.0/8. None by default
  --private-suffixes   also permit names such as github.io, under which a company gives names to others
  --validity TIME      how long it is valid: 12h, 90d, 8w (default 90d, at most 3650d)
  --root-key FILE      the root's key: written by init and rotate to a new file, read by renew. Keep it elsewhere
  -o, --output FILE    write there in place of standard output
  --json               for programs

Examples:
  sallyport ca init --permit example.com,api.example.net --validity 30d
  sallyport ca export --bundle -o ca-bundle.pem
  sallyport ca check --permit www.example.com
  sallyport ca rotate && sallyport ca export -o roots.pem     # give roots.pem to the clients, then:
  sallyport ca rotate --confirm`,

  async run(args) {
    const [name, ...rest] = args;
    if (name === undefined || name.startsWith("-")) throw new UsageError(`which of ${Object.keys(caOperations).join(", ")}?`);
    if (!Object.hasOwn(caOperations, name)) {
      const near = nearest(name, Object.keys(caOperations));
      throw new UsageError(`ca has no ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`);
    }
    const { flags, run } = caOperations[name]!;
    const parsed = parseCommandLine(rest, { dir: { type: "string" }, ...flags });
    if (parsed.operands.length > 0 || parsed.rest !== undefined) throw new UsageError(`ca ${name} takes flags only`);
    try {
      return await run(parsed);
    } catch (cause) {
      if (cause instanceof AuthorityError) throw asCliError(cause);
      throw cause;
    }
  },
};

function asCliError({ code, message }: AuthorityError): Error {
  if (code === "bad-limits") return new UsageError(message);
  return new CommandError(exitCodeOf[code] ?? exitCodes.data, message);
}

const exitCodeOf: Partial<Record<AuthorityErrorCode, number>> = {
  exists: exitCodes.cannotCreate,
  "cannot-write": exitCodes.cannotCreate,
  "not-found": exitCodes.noInput,
  unreadable: exitCodes.noInput,
  "unsafe-file": exitCodes.noInput,
};
