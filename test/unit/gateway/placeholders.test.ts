import { describe, expect, it } from "vitest";
import { isPlaceholder, newPlaceholder, readHead } from "../../../host/gateway/placeholders.ts";
import { SecretRules } from "../../../host/gateway/secret-grants.ts";
import { withPlaceholders } from "../../../host/proxy/placeholder-secrets.ts";

const P = newPlaceholder();
const OTHER = newPlaceholder();
const names = new Map([
  [P, "gh"],
  [OTHER, "other"],
]);
const read = (head: string) => readHead(head, names, (secret, field) => secret === "gh" && field === "authorization");
const filled = (head: string) => {
  const reading = read(head);
  if (reading.tag !== "parts") return reading;
  return reading.parts
    .map((part) => {
      if (part.tag === "text") return part.text;
      if (part.tag === "secret") return "SECRET";
      return Buffer.from(`${part.before}SECRET${part.after}`).toString("base64");
    })
    .join("");
};
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("a placeholder", () => {
  it("can be recognised, and not be guessed", () => {
    expect(isPlaceholder(P)).toBe(true);
    expect(P).toMatch(/^sallyport_placeholder_[0-9a-f]{48}$/);
    expect(newPlaceholder()).not.toBe(P);
  });

  it("is found with whatever scheme a tool writes before it", () => {
    for (const value of [`Bearer ${P}`, `token ${P}`, P, `GoogleLogin auth="${P}"`])
      expect(filled(`GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ${value}\r\nX: y\r\n\r\n`)).toBe(
        `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: ${value.replace(P, "SECRET")}\r\nX: y\r\n\r\n`,
      );
  });

  it("is found as the password and as the user of Basic authentication", () => {
    for (const credentials of [`x-access-token:${P}`, `${P}:`, `${P}:x-oauth-basic`, `:${P}`])
      expect(filled(`GET / HTTP/1.1\r\nAUTHORIZATION:basic ${base64(credentials)} \r\n\r\n`)).toBe(
        `GET / HTTP/1.1\r\nAUTHORIZATION:basic ${base64(credentials.replace(P, "SECRET"))} \r\n\r\n`,
      );
  });

  it("leaves a head without one as it is, to the byte", () => {
    const head = "GET /%73ally?a=%00 HTTP/1.1\r\nA: \x80\xff\tb \r\nBasic: basic !!\r\n";
    expect(filled(head)).toBe(head);
  });

  it("is found behind and before any number of blanks, each of which is looked at once", () => {
    const blanks = " ".repeat(600_000);
    const head = (text: string) => `GET / HTTP/1.1\r\nAuthorization: \t${text}${blanks}a \t\r\n\r\n`;
    expect(filled(head(P))).toBe(head("SECRET"));
    const trailing = (text: string) => `GET / HTTP/1.1\r\nAuthorization:${blanks}${text}${blanks}\r\n\r\n`;
    expect(filled(trailing(P))).toBe(trailing("SECRET"));
  });

  it.each([
    ["in the path", `GET /${P} HTTP/1.1\r\n\r\n`, undefined],
    ["in the query", `GET /?token=${P} HTTP/1.1\r\n\r\n`, undefined],
    ["in the query, percent-encoded", `GET /?t=${P.replace("_", "%5f")} HTTP/1.1\r\n\r\n`, undefined],
    ["in the path, in base64", `GET /x${base64(`yz${P}`)} HTTP/1.1\r\n\r\n`, undefined],
    ["as the method", `${P} / HTTP/1.1\r\n\r\n`, undefined],
    ["as a field's name", `GET / HTTP/1.1\r\n${P}: 1\r\n\r\n`, undefined],
    ["in another field", `GET / HTTP/1.1\r\nX-Copy: ${P}\r\n\r\n`, "x-copy"],
    ["in another field, in base64", `GET / HTTP/1.1\r\nCookie: a=${base64(`{"t":"${P}"}`)}\r\n\r\n`, "cookie"],
    ["in another field with Basic", `GET / HTTP/1.1\r\nX-Copy: Basic ${base64(`a:${P}`)}\r\n\r\n`, "x-copy"],
    ["in Host", `GET / HTTP/1.1\r\nHost: ${P}.evil.test\r\n\r\n`, "host"],
    ["twice in its field", `GET / HTTP/1.1\r\nAuthorization: ${P} ${P}\r\n\r\n`, "authorization"],
    ["within a longer word", `GET / HTTP/1.1\r\nAuthorization: Bearer x${P}\r\n\r\n`, "authorization"],
    ["with more digits", `GET / HTTP/1.1\r\nAuthorization: Bearer ${P}0\r\n\r\n`, "authorization"],
    ["percent-encoded in its field", `GET / HTTP/1.1\r\nAuthorization: Bearer ${P.replace("_", "%5F")}\r\n\r\n`, "authorization"],
    ["of another secret", `GET / HTTP/1.1\r\nAuthorization: Bearer ${OTHER}\r\n\r\n`, "authorization"],
    ["of another run", `GET / HTTP/1.1\r\nAuthorization: Bearer ${newPlaceholder()}\r\n\r\n`, "authorization"],
    ["of another run with Basic", `GET / HTTP/1.1\r\nAuthorization: Basic ${base64(`a:${newPlaceholder()}`)}\r\n\r\n`, "authorization"],
    ["as a part of the password", `GET / HTTP/1.1\r\nAuthorization: Basic ${base64(`a:${P}b`)}\r\n\r\n`, "authorization"],
    ["as user and password", `GET / HTTP/1.1\r\nAuthorization: Basic ${base64(`${P}:${P}`)}\r\n\r\n`, "authorization"],
    ["as Basic without a colon", `GET / HTTP/1.1\r\nAuthorization: Basic ${base64(P)}\r\n\r\n`, "authorization"],
  ])("is misplaced %s", (_, head, field) => {
    expect(read(head)).toMatchObject({ tag: "misplaced", at: { field } });
  });

  it("is misplaced in the second field as well, after the first was good", () => {
    expect(read(`GET / HTTP/1.1\r\nAuthorization: ${P}\r\nCookie: ${P}\r\n\r\n`)).toMatchObject({ tag: "misplaced" });
  });

  it.each([
    ["a line that is none", `GET / HTTP/1.1\r\nAuthorization: ${P}\nX: 1\r\n\r\n`],
    ["a folded line", `GET / HTTP/1.1\r\nAuthorization: Bearer\r\n ${P}\r\n\r\n`],
    ["a carriage return alone", `GET / HTTP/1.1\r\nAuthorization: ${P}\rX: 1\r\n\r\n`],
    ["no colon", `GET / HTTP/1.1\r\nAuthorization ${P}\r\n\r\n`],
  ])("is not replaced where a server might read the head in another way: %s", (_, head) => {
    expect(read(head)).toEqual({ tag: "malformed" });
  });
});

describe("a grant with a placeholder", () => {
  const grant = { source: { env: "X" }, servers: ["a.test:443"], forms: [{ replaces: "Authorization" }] };

  it("allows its field and no other", () => {
    const rules = new SecretRules("s", { ...grant, placeholder: P });
    expect([rules.allowsPlaceholder("authorization"), rules.allowsPlaceholder("cookie")]).toEqual([true, false]);
  });

  it.each([
    ["without a placeholder", grant],
    ["with a text that can be guessed", { ...grant, placeholder: "token" }],
    ["with a placeholder for no place", { ...grant, placeholder: P, forms: [{ field: "authorization" }] }],
    ["that is fetched at each use", { ...grant, placeholder: P, fetch: "use" as const }],
  ])("is refused %s", (_, bad) => {
    expect(() => new SecretRules("s", bad)).toThrow(/secret "s"/);
  });

  it("is made of the grant that the command line gives, for the secrets that have variables", () => {
    const plain = { source: { env: "Y" }, servers: ["b.test:443"], forms: [{ field: "x-token" }] };
    const { secrets, environment } = withPlaceholders({ gh: { ...plain, source: { env: "X" } }, plain }, [
      ["gh", "GH_TOKEN"],
      ["gh", "GITHUB_TOKEN"],
      ["unknown", "Z"],
    ]);
    expect(secrets["plain"]).toBe(plain);
    expect(secrets["gh"]!.forms).toEqual([{ replaces: "x-token" }]);
    expect(environment).toEqual({ GH_TOKEN: secrets["gh"]!.placeholder, GITHUB_TOKEN: secrets["gh"]!.placeholder });
  });
});
