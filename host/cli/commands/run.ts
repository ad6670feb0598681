import { basename } from "node:path";
import { type Command, parseCommandLine, UsageError } from "../command.ts";
import { instanceFlags, instanceFlagsHelp } from "../instance-flags.ts";
import { runFile } from "../run-file.ts";

export const command: Command = {
  help: `sallyport run: run a component in the sandbox

Usage: sallyport run COMPONENT [flags] [-- ARGUMENTS]

COMPONENT is a WebAssembly component that exports wasi:cli/run. What follows -- is its own. It reads and writes the
standard streams of this process; its exit code becomes that of this process.

${instanceFlagsHelp}
  --restart                      follow a dead instance (trap, watchdog, limit) by a new one

Examples:
  sallyport run hello.wasm
  sallyport run fetch.wasm --allow-net example.com:443 -- https://example.com/
  sallyport run serve.wasm --restart --listen 127.0.0.1:8443 --identity site=chain.pem,key.pem --dir ./public:/:ro`,

  async run(args) {
    const parsed = parseCommandLine(args, { ...instanceFlags, restart: { type: "boolean" } });
    const [file, ...surplus] = parsed.operands;
    if (file === undefined) throw new UsageError("run takes the component to run");
    if (surplus.length > 0) throw new UsageError(`${JSON.stringify(surplus[0])}: put the component's own arguments after --`);
    return await runFile(file, parsed, { args: [basename(file), ...(parsed.rest ?? [])], restart: parsed.flags.restart === true });
  },
};
