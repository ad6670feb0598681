import { errorName } from "../../tokens/token-component.ts";
import { CommandError, exitCodes, listOf, textOf, UsageError } from "../command.ts";
import { channelFrom, parseDuration, parseWith, required, signingKeyFrom, withTokens } from "./inputs.ts";
import { claimsJson, printJson } from "./output.ts";

/** The lifetime of a token of which nothing else was said. */
const DEFAULT_TTL = "1h";

/** `sallyport token issue` */
export async function issue(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const flags = {
    key: text,
    issuer: text,
    sub: text,
    aud: text,
    ttl: text,
    bind: text,
    "tls-exporter": text,
    json: { type: "boolean" } as const,
  };
  const parsed = parseWith(args, { ...flags, groups: { type: "string", multiple: true } }, []);
  const key = signingKeyFrom(required(parsed, "key"), textOf(parsed, "issuer"));
  const [subject, audience] = [required(parsed, "sub"), required(parsed, "aud")];
  const lifetime = parseDuration(textOf(parsed, "ttl") ?? DEFAULT_TTL);
  const groups = listOf(parsed, "groups").flatMap((list) => list.split(","));
  if (groups.some((group) => group === "" || !group.isWellFormed())) throw new UsageError("--groups takes names with commas between them");
  return await withTokens({ key: key.grant() }, async (tokens) => {
    const channel = await channelFrom(tokens, textOf(parsed, "bind"), textOf(parsed, "tls-exporter"));
    const issuer = await tokens.openIssuer("key");
    let token: string;
    try {
      token = await issuer.issue(subject, groups, audience, lifetime, channel);
    } catch (error) {
      if (errorName(error) !== "too-large") throw error;
      throw new CommandError(exitCodes.data, "these claims are longer than any verifier takes (4096 bytes)");
    }
    if (channel.certificateSha256 === undefined && channel.tlsExporter === undefined)
      process.stderr.write("sallyport: this token is bound to nothing, and every verifier refuses it: use --bind CERT.pem\n");
    if (parsed.flags["json"] === true) printJson({ token, claims: claimsJson(await tokens.inspect(token)) });
    else process.stdout.write(`${token}\n`);
    return exitCodes.ok;
  });
}
