import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { pythonPackage } from "../../support/python-packages.ts";

/** How a program is to fetch something. */
export interface Fetch {
  /** `https://…` */
  url: string;
  /** PEM file to trust in place of what its environment says. */
  ca?: string | undefined;
  /** An empty folder. */
  folder: string;
}

/** A program that fetches something: a command line, and variables on top of its environment. */
export interface Program {
  command(fetch: Fetch): string[] | Promise<string[]>;
  env?(fetch: Fetch): Record<string, string>;
  /** What of the site it takes; its output then has `the page` in it. */
  path: string;
}

const curl =
  (...flags: string[]) =>
  ({ url, ca }: Fetch) => [
    "curl",
    "-sS",
    "--fail",
    ...flags,
    ...(ca === undefined ? [] : ["--cacert", ca]),
    "-w",
    "\\nHTTP/%{http_version}\\n",
    url,
  ];

/** Programs that nobody here wrote, each as its users call it. */
export const programs: Record<string, Program> = {
  curl: { path: "page.txt", command: curl("--http1.1") },
  "curl with h2": { path: "page.txt", command: curl("--http2") },
  "python urllib": {
    path: "page.txt",
    command: ({ url, ca }) => {
      const context = ca === undefined ? "ssl.create_default_context()" : `ssl.create_default_context(cafile=${JSON.stringify(ca)})`;
      return [
        "python3",
        "-c",
        `import ssl, urllib.request\nprint(urllib.request.urlopen(${JSON.stringify(url)}, context=${context}).read().decode())`,
      ];
    },
  },
  "python requests": {
    path: "page.txt",
    command: async ({ url, ca }) => {
      const folder = await pythonPackage("requests==2.32.5");
      const verify = ca === undefined ? "True" : JSON.stringify(ca);
      const script = `import sys\nsys.path.insert(0, ${JSON.stringify(folder)})\nimport requests\nr = requests.get(${JSON.stringify(url)}, verify=${verify})\nr.raise_for_status()\nprint(r.text)`;
      return ["python3", "-c", script];
    },
    // An empty value would be taken for none.
    env: ({ ca }): Record<string, string> => (ca === undefined ? {} : { REQUESTS_CA_BUNDLE: ca, CURL_CA_BUNDLE: ca }),
  },
  "node fetch": {
    path: "page.txt",
    command: ({ url }) => [
      process.execPath,
      "-e",
      `fetch(${JSON.stringify(url)}).then(async (r) => { if (!r.ok) throw r.status; console.log(await r.text()); })`,
    ],
    env: ({ ca }): Record<string, string> => (ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca }),
  },
  "git clone": {
    path: "repository.git",
    command: ({ url, folder }) => ["sh", "-c", `git clone -q ${url} ${folder}/clone && cat ${folder}/clone/page.txt`],
    env: ({ ca }): Record<string, string> => ({ GIT_TERMINAL_PROMPT: "0", ...(ca === undefined ? {} : { GIT_SSL_CAINFO: ca }) }),
  },
  "pip download": {
    path: "simple/",
    command: ({ url, folder }) => [
      "sh",
      "-c",
      `unset PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_TRUSTED_HOST; python3 -m pip download -q --disable-pip-version-check --no-cache-dir --retries 0 --no-deps -d ${folder} --index-url ${url} thepage && python3 -m zipfile -e ${folder}/*.whl ${folder} && cat ${folder}/page.txt`,
    ],
    env: ({ ca }): Record<string, string> => ({
      PIP_CONFIG_FILE: "/dev/null",
      ...(ca === undefined ? {} : { PIP_CERT: ca, REQUESTS_CA_BUNDLE: ca }),
    }),
  },
  "npm ci": {
    path: "npm/",
    command: ({ url, folder }) => {
      const { integrity } = npmPackage();
      const resolved = `${url}thepage/-/thepage-1.0.0.tgz`;
      writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", version: "1.0.0", dependencies: { thepage: "1.0.0" } }));
      writeFileSync(
        join(folder, "package-lock.json"),
        JSON.stringify({
          name: "user",
          version: "1.0.0",
          lockfileVersion: 3,
          packages: { "": { dependencies: { thepage: "1.0.0" } }, "node_modules/thepage": { version: "1.0.0", resolved, integrity } },
        }),
      );
      // These tests may be run by npm themselves: its settings for that run are not for this one.
      const forget = `for name in $(env | sed -n 's/^\\(npm_[A-Za-z0-9_]*\\)=.*/\\1/p'); do unset $name; done`;
      return [
        "sh",
        "-c",
        `${forget}; cd ${folder} && npm ci --silent --no-audit --no-fund --registry ${url} --cache ${folder}/cache --fetch-retries 0 && cat node_modules/thepage/page.txt`,
      ];
    },
    env: ({ ca }): Record<string, string> => (ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca }),
  },
};

/** What the programs fetch, by path: a page, a repository, an index with a wheel, a registry with a package. */
export function makeSite(folder: string): Map<string, Uint8Array> {
  const site = new Map<string, Uint8Array>([["page.txt", PAGE]]);
  makeRepository(join(folder, "repository"));
  for (const path of readdirSync(join(folder, "repository.git"), { recursive: true, withFileTypes: true }))
    if (path.isFile()) {
      const name = join(path.parentPath, path.name);
      site.set(name.slice(folder.length + 1), readFileSync(name));
    }
  const wheel = makeWheel(folder);
  site.set(`simple/thepage/${wheel.name}`, wheel.bytes);
  site.set(
    "simple/thepage/",
    Buffer.from(`<a href="${wheel.name}#sha256=${createHash("sha256").update(wheel.bytes).digest("hex")}">${wheel.name}</a>`),
  );
  site.set("npm/thepage/-/thepage-1.0.0.tgz", npmPackage().tarball);
  return site;
}

const PAGE = Buffer.from("the page\n");

function makeRepository(folder: string): void {
  mkdirSync(folder);
  writeFileSync(join(folder, "page.txt"), PAGE);
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "init.defaultBranch=main", ...args], {
      cwd: folder,
      stdio: "ignore",
    });
  git("init", "-q");
  git("add", ".");
  git("commit", "-q", "-m", "page");
  git("clone", "-q", "--bare", folder, `${folder}.git`);
  execFileSync("git", ["update-server-info"], { cwd: `${folder}.git` });
}

function makeWheel(folder: string): { name: string; bytes: Uint8Array } {
  const name = "thepage-1.0.0-py3-none-any.whl";
  const script = `
import zipfile
with zipfile.ZipFile(${JSON.stringify(join(folder, name))}, "w") as z:
    z.writestr("page.txt", "the page\\n")
    z.writestr("thepage-1.0.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thepage\\nVersion: 1.0.0\\n")
    z.writestr("thepage-1.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr("thepage-1.0.0.dist-info/RECORD", "")
`;
  execFileSync("python3", ["-c", script]);
  return { name, bytes: readFileSync(join(folder, name)) };
}

let npm: { tarball: Uint8Array; integrity: string } | undefined;

function npmPackage(): { tarball: Uint8Array; integrity: string } {
  if (npm !== undefined) return npm;
  const script = `
import io, json, sys, tarfile
out = io.BytesIO()
with tarfile.open(fileobj=out, mode="w:gz") as t:
    for name, text in (("package.json", json.dumps({"name": "thepage", "version": "1.0.0"})), ("page.txt", "the page\\n")):
        info = tarfile.TarInfo("package/" + name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text.encode()))
sys.stdout.buffer.write(out.getvalue())
`;
  const tarball = execFileSync("python3", ["-c", script]);
  npm = { tarball, integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}` };
  return npm;
}
