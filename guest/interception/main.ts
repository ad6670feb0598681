import type * as wit from "sallyport:policy/decisions@0.1.0";
import type { Explanation, Fault, LeafPlan, Question, Settings } from "sallyport:policy/interception@0.1.0";
import { ErrorResult, numberOfU32, optional, u32, wellFormed } from "../../src/bindings/index.ts";
import {
  becauseValue,
  clientHelloRequest,
  connectionDecisionValue,
  connectRequest,
  httpRequest,
  requestDecisionValue,
} from "../../src/interception/decision-values.ts";
import {
  decideClientHello,
  decideConnect,
  decideRequest,
  explain,
  hostText,
  loadPolicy,
  parseHost,
  planLeaf,
  PolicyError,
  policySchema,
  type Policy as LoadedPolicy,
} from "../../src/policy/index.ts";

let installed: LoadedPolicy | undefined;

class Policy {
  private readonly loaded: LoadedPolicy;

  constructor(loaded: LoadedPolicy) {
    this.loaded = loaded;
  }

  install(): void {
    installed = this.loaded;
  }

  decideConnect(request: wit.ConnectRequest): wit.ConnectionDecision {
    return connectionDecisionValue(decideConnect(this.loaded, connectRequest(request)));
  }

  decideClientHello(request: wit.ClientHelloRequest): wit.ConnectionDecision {
    return connectionDecisionValue(decideClientHello(this.loaded, clientHelloRequest(request)));
  }

  decideRequest(request: wit.HttpRequest): wit.RequestDecision {
    return requestDecisionValue(decideRequest(this.loaded, httpRequest(request)));
  }

  explain(question: Question): Explanation {
    const { host, groups } = question;
    const [method, path] = optional(question.request) ?? [];
    const request = method === undefined || path === undefined ? undefined : { method, path };
    const {
      steps,
      connection,
      request: decision,
      text,
    } = explain(this.loaded, { host, port: numberOfU32(question.port), groups, request });
    return {
      steps: [...steps],
      connection: connectionDecisionValue(connection),
      ...(decision === undefined ? {} : { request: requestDecisionValue(decision) }),
      text: wellFormed(text),
    };
  }

  planLeaf(host: string): LeafPlan {
    const parsed = parseHost(host);
    if (parsed.tag === "invalid") throw refusal({ rule: "built-in:names", reason: parsed.fault });
    const plan = planLeaf(this.loaded, parsed);
    if (plan.tag === "refused") throw refusal(becauseValue(plan.because));
    return { names: plan.names.map(hostText), lifetime: u32(plan.lifetime), key: plan.key };
  }

  settings(): Settings {
    const { settings, permitted } = this.loaded;
    const { limits, rates, timeouts, audit } = settings;
    return {
      permittedNames: [...permitted.names],
      permittedNetworks: permitted.networks.map(({ text }) => text),
      leafLifetime: u32(settings.leafLifetime),
      allowNetworks: settings.allowNetworks.map(({ text }) => text),
      anchors: Array.from(settings.anchors, ([name, path]) => [name, path]),
      secrets: [...settings.secrets],
      identities: [...settings.identities],
      secretVariables: settings.secretVariables.map(({ secret, variable }) => [secret, variable]),
      connections: u32(limits.connections),
      headBytes: u32(limits.headBytes),
      leafCache: u32(limits.leafCache),
      rates: {
        auditRecords: u32(rates.auditRecords),
        auditRecordsPerConnection: u32(rates.auditRecordsPerConnection),
        connections: u32(rates.connections),
        dials: u32(rates.dials),
        certificates: u32(rates.certificates),
        certificateNames: u32(rates.certificateNames),
      },
      headTimeout: u32(timeouts.head),
      handshakeTimeout: u32(timeouts.handshake),
      connectTimeout: u32(timeouts.connect),
      idleTimeout: u32(timeouts.idle),
      drainTimeout: u32(timeouts.drain),
      ...(audit.path === undefined ? {} : { auditPath: audit.path }),
      auditMode: audit.mode,
      auditFsync: audit.fsync === "never" ? "never" : `each-${audit.fsync}`,
    };
  }
}

function load(text: string): Policy {
  try {
    return new Policy(loadPolicy(text));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const faults = error.faults.map(({ path, message }) => ({ path: wellFormed(path), message: wellFormed(message) }));
    throw new ErrorResult<Fault[]>("the policy has faults", faults);
  }
}

function schema(): string {
  return `${JSON.stringify(policySchema(), undefined, 2)}\n`;
}

function refusal(because: wit.Because): ErrorResult<wit.Because> {
  return new ErrorResult(because.reason, because);
}

/** What is said before there is a policy. */
const noPolicy: wit.Because = { rule: "built-in:no-policy", reason: "no-policy" };

/** The exported interface `sallyport:policy/interception`. */
export const interception = { Policy, loadPolicy: load, schema };

/** The exported interface `sallyport:policy/decisions`, by the policy that was installed last. */
export const decisions = {
  decideConnect(request: wit.ConnectRequest): wit.ConnectionDecision {
    if (installed === undefined) return { tag: "deny", val: noPolicy };
    return connectionDecisionValue(decideConnect(installed, connectRequest(request)));
  },
  decideClientHello(request: wit.ClientHelloRequest): wit.ConnectionDecision {
    if (installed === undefined) return { tag: "deny", val: noPolicy };
    return connectionDecisionValue(decideClientHello(installed, clientHelloRequest(request)));
  },
  decideRequest(request: wit.HttpRequest): wit.RequestDecision {
    if (installed === undefined) return { tag: "deny", val: noPolicy };
    return requestDecisionValue(decideRequest(installed, httpRequest(request)));
  },
};
