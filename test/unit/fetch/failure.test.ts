import { expect, it } from "vitest";
import { handshakeFailure } from "../../../src/fetch/failure.ts";

function failed(reason: object, message = "what the host says"): unknown {
  return handshakeFailure(Object.assign(new Error(message), { code: "ERR_SALLYPORT_TLS", reason }), "a.test");
}

it.each([
  ["self-signed", "trust it with --cacert FILE"],
  ["bad-usage", "an authority's own (CA:TRUE)"],
  ["name-mismatch", "for other names"],
  ["expired", "has to renew it"],
  ["bad-signature", "-v shows the certificate"],
])("a certificate that is refused as %s comes with what to do", (val, advice) => {
  const failure = failed({ tag: "certificate", val });
  expect(failure).toMatchObject({ exitCode: 60 });
  expect(String(failure)).toContain(val);
  expect(String(failure)).toContain(advice);
});

it("advises to trust no certificate that this would not help", () => {
  expect(String(failed({ tag: "certificate", val: "bad-usage" }))).not.toContain("--cacert");
});

it("a server that has no such host is not taken for one that wants a client certificate", () => {
  const failure = failed({ tag: "alert-received", val: 112 });
  expect(failure).toMatchObject({ exitCode: 35 });
  expect(String(failure)).toContain("serves no host of this name");
  expect(String(failure)).not.toContain("--cert");
});

it("a server that refuses the handshake for no reason that is told may want a client certificate", () => {
  expect(String(failed({ tag: "alert-received", val: 40 }))).toContain("--cert");
});

it("what is no error of TLS is left as it is", () => {
  const error = new Error("something else");
  expect(handshakeFailure(error, "a.test")).toBe(error);
});
