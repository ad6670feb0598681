import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { getFlags, grantsFor, parseGetArguments } from "../../host/cli/get-arguments.ts";
import { commandFlags } from "../../src/fetch/flags.ts";
import { httpsServer, rawAnswer, type TestServer, tlsServer } from "../support/https-servers.ts";
import { makeCertificate, makePki, type PkiFiles, type TestPki, writePki } from "../support/pki.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
let folder: string;
let pki: TestPki;
let files: PkiFiles;
let server: TestServer;

beforeAll(async () => {
  await finished(spawn(process.execPath, ["scripts/build-components.ts", "https-get"], { cwd: root, stdio: ["ignore", "ignore", "pipe"] }));
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  pki = await makePki();
  files = writePki(join(folder, "pki"), pki);
  server = await httpsServer(pki, (request, response) => {
    if (request.url === "/away") return response.writeHead(302, { location: `${server.origin}/` }).end();
    return void request.pipe(response);
  });
}, 120_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function finished(child: ReturnType<typeof spawn>) {
  const [code, stdout, stderr] = await Promise.all([
    new Promise<number | null>((resolve) => child.once("close", resolve)),
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
  ]);
  return { code, stdout, stderr };
}

/** Run `sallyport get` in the test's folder. */
async function get(args: string[], input = "") {
  const child = spawn(process.execPath, [join(root, "host/cli/bin.mjs"), "get", ...args], { cwd: folder, stdio: "pipe" });
  child.stdin.end(input);
  return await finished(child);
}

/** No folder of the run's own is left behind. */
function left(): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("."));
}

describe("sallyport get", () => {
  it("fetches from the hosts of its URLs with no grant, and reads and writes the files that it names", async () => {
    writeFileSync(join(folder, "data.txt"), "what is sent");
    const args = ["--cacert", "pki/../pki/ca.pem", "-d", "@data.txt", "-o", "./out.txt", `${server.origin}/`];
    expect(await get(args.map((arg) => arg.replace("ca.pem", files.ca.split("/").at(-1)!)))).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(readFileSync(join(folder, "out.txt"), "utf8")).toBe("what is sent");
    expect(left()).toEqual([]);
  });

  it("passes standard input on, and writes through a link instead of over it", async () => {
    mkdirSync(join(folder, "elsewhere"));
    writeFileSync(join(folder, "elsewhere/real.txt"), "earlier");
    symlinkSync("elsewhere/real.txt", join(folder, "link.txt"));
    expect(await get(["--ca", files.ca, "-d", "@-", "-o", "link.txt", `${server.origin}/`], "from stdin")).toMatchObject({ code: 0 });
    expect(readFileSync(join(folder, "elsewhere/real.txt"), "utf8")).toBe("from stdin");
  });

  it("leaves neither a short file nor a trace when a body is cut", async () => {
    await using cut = await tlsServer(pki, rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "cut"));
    const { code, stderr } = await get(["--ca", files.ca, "-o", "cut.txt", `${cut.origin}/`]);
    expect({ code, there: existsSync(join(folder, "cut.txt")), left: left() }).toEqual({ code: 18, there: false, left: [] });
    expect(stderr).toContain("try again");
  });

  it("removes what it lent when a signal ends it", async () => {
    await using stuck = await tlsServer(pki, (socket) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf`));
    const args = ["get", "-v", "--ca", files.ca, "-o", "never.txt", `${stuck.origin}/`];
    const child = spawn(process.execPath, [join(root, "host/cli/bin.mjs"), ...args], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      if (said.includes("< Content-Length")) child.kill("SIGINT");
    });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(130);
    expect({ there: existsSync(join(folder, "never.txt")), left: left() }).toEqual({ there: false, left: [] });
  });

  it("ends with 23 when nobody reads its output any more", async () => {
    await using server = await httpsServer(pki, (_, response) => response.end("x".repeat(2_000_000)));
    const child = spawn(process.execPath, [join(root, "host/cli/bin.mjs"), "get", "--ca", files.ca, `${server.origin}/`], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.stdout.once("data", () => child.stdout.destroy());
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(23);
  });

  it("goes to another host only if --allow-net grants it, and says so", async () => {
    const args = ["-L", "--ca", files.ca, `https://127.0.0.1:${server.port}/away`];
    const refused = await get(args);
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain(`--allow-net localhost:${server.port}`);
    expect((await get([...args, "--allow-net", `localhost:${server.port}`])).code).toBe(0);
  });

  it("shows an identity that --identity grants and --cert names", async () => {
    const client = await makeCertificate({ cn: "me" }, pki.root);
    writeFileSync(join(folder, "me.pem"), client.pem + client.keyPem, { mode: 0o600 });
    await using mutual = await httpsServer(pki, (_, response) => response.end("hello"), { requestCert: true, ca: pki.root.pem });
    const url = `${mutual.origin}/`;
    expect(await get(["--ca", files.ca, "--identity", "me=me.pem", "--cert", "me", url])).toMatchObject({ code: 0, stdout: "hello" });
    expect(await get(["--ca", files.ca, "--cert", "me", url])).toMatchObject({ code: 58, stderr: expect.stringContaining("--identity") });
  });

  it.each([
    ["64 for a flag that neither it nor the component has", ["--nope", "https://localhost/"], 64, "unknown flag --nope"],
    ["64 without a URL", ["-v"], 64, "URL"],
    ["64 for a flag without its value", ["https://localhost/", "-o"], 64, "needs a value"],
    ["73 for an output that is a folder", ["-o", "pki", "https://localhost/"], 73, "no file"],
    ["73 for an output in a folder that is not there", ["-o", "no/x", "https://localhost/"], 73, "ENOENT"],
    ["3 for what is no https URL", ["http://localhost/"], 3, "https"],
    ["77 for authorities that are not there", ["--cacert", "none.pem", "https://localhost/"], 77, "no-entry"],
    ["60 for an authority that nobody trusts", ["https://localhost/", "--connect-to", "::localhost:PORT"], 60, "--cacert"],
  ])("ends with %s", async (_, args, code, message) => {
    const outcome = await get(args.map((arg) => arg.replace("PORT", String(server.port))));
    expect(outcome).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
    expect(left()).toEqual([]);
  });
});

describe("the grants of sallyport get", () => {
  it.each([
    [["https://Example.COM/a", "https://example.com:443/b"], [], ["example.com:443"]],
    [["https://[::1]:8443/"], [], ["[::1]:8443"]],
    [["https://a.test/"], ["a.test:443:b.test:8443"], ["b.test:8443"]],
    [["https://a.test/"], ["other.test::b.test:1"], ["a.test:443", "b.test:1"]],
    [["https://a.test/"], [":::8443"], ["a.test:8443"]],
  ])("of %j with --connect-to %j are %j", (urls, connectTo, grants) => {
    expect(grantsFor(urls, connectTo)).toEqual(grants);
  });

  it.each([
    ["https://*.example.com/"],
    ["https://*/"],
    ["https://10.0.0.0/8:443"],
    ["http://a.test/"],
    ["https://u@a.test/"],
    ["https://a.test:0/"],
    ["https://a b/"],
    ["a.test"],
  ])("hold no pattern, no range and nothing of %s", (url) => {
    expect(grantsFor([url], []).filter((grant) => !/^10\.0\.0\.0:443$/.test(grant))).toEqual([]);
  });

  it("come from the same flags as the component knows", () => {
    const { help, ...known } = commandFlags;
    expect(help).toBeDefined();
    const shape = (flags: Record<string, { short?: string; takesValue: boolean }>) =>
      Object.fromEntries(Object.entries(flags).map(([name, { short, takesValue }]) => [name, { short, takesValue }]));
    const own = Object.fromEntries(
      Object.entries(getFlags).map(([name, { short, type }]) => [name, { short, takesValue: type === "string" }]),
    );
    expect(shape(known)).toEqual(own);
  });

  it("are told apart from the component's flags, whose values stay as they are", () => {
    const { guest, urls, instance } = parseGetArguments(["-iL", "-d", "--memory", "--memory", "64", "-ofile", "https://a/", "--", "--odd"]);
    expect(guest).toEqual(["--include", "--location", "--data", "--memory", "--output", "file", "--", "https://a/", "--odd"]);
    expect(urls).toEqual(["https://a/", "--odd"]);
    expect(instance.flags).toEqual({ memory: "64" });
  });
});
