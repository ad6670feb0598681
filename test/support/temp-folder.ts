import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Vitest's global setup: one folder for all temporary files of a run, theirs that are killed included, and gone with the
 * run. Its name is short, since the path of a socket has a limit.
 */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "sp-"));
  process.env.TMPDIR = folder;
  return () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}
