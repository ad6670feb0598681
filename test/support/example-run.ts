import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a program ended. */
export interface Ended {
  /** Exit code; -1 if it was killed. */
  code: number;
  stdout: string;
  stderr: string;
}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A file of the repository: `docs/examples/…`, `dist/components/…`. */
export function repositoryFile(path: string): string {
  return `${root}${path}`;
}

/** Run a program to its end, whatever that is. Standard input is empty. */
export async function runProgram(program: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  return await new Promise((resolve) => {
    const env = { ...process.env, ...options.env };
    const child = execFile(program, args, { ...options, env, encoding: "utf8", maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** The same for a program that has to succeed. */
export async function mustRun(program: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<string> {
  const { code, stdout, stderr } = await runProgram(program, args, options);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

/** What the token examples of every language print. */
export const tokenStory = `nobody trusted: refused, unknown-issuer
her certificate: alice
another certificate: refused, binding-mismatch
revoked: refused, revoked
taken back: alice
`;
