import type { Command } from "../command.ts";
import { grantsFor, parseGetArguments } from "../get-arguments.ts";
import { instanceFlagsHelp } from "../instance-flags.ts";
import { instanceSettings } from "../instance-settings.ts";
import { LentFiles } from "../lent-files.ts";
import { ownComponent } from "../own-component.ts";
import { runInstance } from "../run-file.ts";

export const command: Command = {
  help: `sallyport get: fetch pages over TLS

Usage: sallyport get URL... [flags]

Runs the component https-get.wasm. It may connect to the hosts of the URLs, read the files that its flags name and write
those of -o: nothing else. Hosts that redirects lead to are granted with --allow-net.

  -o, --output FILE          write the body to FILE, for the next URL that has none; - is standard output
  -i, --include              write the head of the answer before its body
  -L, --location             follow redirects, at most 10, to https only
  -X, --request METHOD       default GET, with -d POST
  -H, --header "NAME: TEXT"  send this field; "NAME:" leaves out one that would be sent
  -d, --data TEXT            send TEXT, or a file with @FILE, or standard input with @-
  -f, --fail                 end with 22 for a status of 400 or more, and write no body
  --max-time SECONDS         give up on a URL after so long
  --connect-to H1:P1:H2:P2   connect to H2:P2 for the URLs of H1:P1; each part may be empty
  --no-keepalive             a connection of its own for each request
  --json                     a report per URL on standard output, one line each; a body goes to -o only
  -v, --verbose              tell of connections, certificates and decisions on standard error
  -s, --silent               no progress bar
  --cacert FILE              trust the authorities in this PEM or DER file, in place of the host's
  --crlfile FILE             with the revocation lists in this PEM or DER file
  --cert NAME                show the identity that --identity NAME=... grants
  --tls-max 1.2|1.3          the highest version
  --pinnedpubkey PINS        refuse every server whose key is not one of sha256//BASE64[;sha256//BASE64...]
  --accept-invalid           go on in spite of a refused certificate, as far as --allow-invalid grants it

${instanceFlagsHelp}

Exit codes are those of the component, from 1 to 90 (docs/exit-codes.md), and those of sallyport.

Examples:
  sallyport get https://example.com/
  sallyport get -v --json https://example.com/ https://example.com/robots.txt
  sallyport get -L -o page.html https://example.org/ --allow-net www.example.org:443
  sallyport get --cacert ca.pem --identity me=me.pem,me.key --cert me https://localhost:8443/`,

  async run(args) {
    const { instance, guest, urls, values } = parseGetArguments(args);
    const given = (flag: string) => values.get(flag) ?? [];
    const component = ownComponent("https-get");
    const data = given("data").filter((text) => text.startsWith("@") && text !== "@-");
    const inputs = [...data.map((text) => text.slice(1)), ...given("cacert"), ...given("crlfile")];
    const outputs = given("output").filter((path) => path !== "-" && path !== "/dev/null");
    using files = new LentFiles(inputs, outputs);
    const settings = instanceSettings(instance, ["https-get", ...guest]);
    const options = Promise.resolve(settings.options).then((granted) => ({
      ...granted,
      grants: { ...granted.grants, allowNet: [...(granted.grants?.allowNet ?? []), ...grantsFor(urls, given("connect-to"))] },
      preopens: [...(granted.preopens ?? []), ...files.preopens],
    }));
    const code = await runInstance(component, { ...settings, options }, { restart: false, brief: true });
    files.collect();
    return code;
  },
};
