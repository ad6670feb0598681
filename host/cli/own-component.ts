import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CommandError, exitCodes } from "./command.ts";

/**
 * The file of a component that comes with the program.
 *
 * @param name as in `dist/components/NAME.wasm`
 * @throws {CommandError} when it has not been built
 */
export function ownComponent(name: string): string {
  // From the sources, and from a bundle, whose chunks lie one folder below dist/host.
  const candidates = ["../../dist/components/", "../../components/"];
  const found = candidates.map((folder) => fileURLToPath(new URL(`${folder}${name}.wasm`, import.meta.url))).find(existsSync);
  if (found === undefined)
    throw new CommandError(exitCodes.noInput, `the component ${name}.wasm has not been built: run npm run setup in the checkout`);
  return found;
}
