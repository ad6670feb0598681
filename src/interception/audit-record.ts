import type { Because } from "../policy/index.ts";
import { endpointText, type Host } from "../policy/index.ts";
import { printable } from "../wire/printable.ts";

/** What a component has to say about a decision. The host adds time, connection and what it did itself. */
export type DecisionRecord =
  | {
      readonly about: "connect";
      /** What the client wrote. */
      readonly host: string;
      readonly port: number;
      readonly outcome: Outcome;
      readonly because: Because;
    }
  | {
      readonly about: "client-hello";
      /** `undefined`: the hello names none. */
      readonly serverName: string | undefined;
      readonly target: { readonly host: Host; readonly port: number } | undefined;
      readonly alpn: readonly string[];
      readonly outcome: Outcome;
      readonly because: Because;
    }
  | {
      readonly about: "request";
      readonly host: string;
      readonly method: string;
      /** As the rules saw it, without the query: queries carry secrets. `undefined` if it is none. */
      readonly path: string | undefined;
      readonly outcome: "allow" | "deny";
      readonly because: Because;
      /** Names of secrets that the host is asked to place. */
      readonly secrets: readonly string[];
    }
  | {
      readonly about: "failure";
      /** In which step, in a word: `client-handshake`, `issue`, `dial`, `upstream-handshake`. */
      readonly step: string;
      /** A sentence without anything from a peer in it that was not made printable. */
      readonly message: string;
    };

/** How a connection goes on. */
export type Outcome = "tunnel" | "intercept" | "front" | "deny";

/** Names and values of a record: printable, bounded, in a fixed order, and never a header value, a query, a token or a body. */
export type AuditField = readonly [name: string, value: string];

/** The fields of a record. What is not known is left out. */
export function auditFields(record: DecisionRecord): AuditField[] {
  return fieldsOf(record).flatMap(([name, value]) => (value === undefined ? [] : [[name, bounded(value)] as const]));
}

function fieldsOf(record: DecisionRecord): (readonly [string, string | undefined])[] {
  switch (record.about) {
    case "connect":
      return [["about", record.about], ["host", record.host], ["port", String(record.port)], ...decided(record)];
    case "client-hello": {
      const { serverName, target, alpn } = record;
      return [
        ["about", record.about],
        ["sni", serverName],
        ["target", target === undefined ? undefined : endpointText(target.host, target.port)],
        ["alpn", alpn.length === 0 ? undefined : alpn.slice(0, MAX_ITEMS).join(",")],
        ...decided(record),
      ];
    }
    case "request":
      return [
        ["about", record.about],
        ["host", record.host],
        ["method", record.method],
        ["path", record.path],
        ...decided(record),
        ["secrets", record.secrets.length === 0 ? undefined : record.secrets.slice(0, MAX_ITEMS).join(",")],
      ];
    case "failure":
      return [
        ["about", record.about],
        ["step", record.step],
        ["message", record.message],
      ];
  }
}

function decided({ outcome, because }: { outcome: string; because: Because }): (readonly [string, string])[] {
  return [
    ["decision", outcome],
    ["rule", because.rule],
    ["reason", because.reason],
  ];
}

/** Cut before it is escaped, so that no escape is cut in two; what was cut ends with an ellipsis. */
function bounded(value: string): string {
  return value.length <= MAX_VALUE ? printable(value) : `${printable(value.slice(0, MAX_VALUE))}...`;
}

const MAX_VALUE = 512;
const MAX_ITEMS = 32;
