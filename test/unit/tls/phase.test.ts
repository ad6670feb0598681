import { describe, expect, test } from "vitest";
import { canSuspend, type Event, feeds, initial, type Phase, type Plan, type Point, pointsPassed, step } from "../../../host/tls/phase.ts";

function plan(role: "client" | "server", ...points: Point[]): Plan {
  return { role, points: new Set(points) };
}

function run(steps: Event[], of: Plan): { phase: Phase; effects: string[] } {
  let phase = initial;
  const effects: string[] = [];
  for (const event of steps) {
    const next = step(phase, event, of);
    if (next === undefined) throw new Error(`${event.tag} is not allowed in ${JSON.stringify(phase)}`);
    phase = next.phase;
    effects.push(...next.effects);
  }
  return { phase, effects };
}

const start: Event = { tag: "start" };
const hello: Event = { tag: "hello" };
const answered: Event = { tag: "answered", verifies: false };
const answeredAndAsks: Event = { tag: "answered", verifies: true };
const good: Event = { tag: "judged", acceptable: true };
const bad: Event = { tag: "judged", acceptable: false };
const notShown: Event = { tag: "not-shown" };
const finished: Event = { tag: "finished" };
const suspend: Event = { tag: "suspend" };
const resume: Event = { tag: "resume", overridden: false };
const override: Event = { tag: "resume", overridden: true };
const end: Event = { tag: "end" };

describe("a client without points", () => {
  const of = plan("client");

  test("in TLS 1.2 is judged first, then released, then finished", () => {
    expect(run([start, good, finished], of)).toEqual({ phase: { tag: "established" }, effects: ["connect", "release", "open"] });
  });

  test("in TLS 1.3 may finish before it is judged, and opens only after", () => {
    expect(run([start, finished], of).effects).toEqual(["connect"]);
    expect(run([start, finished, good], of)).toEqual({ phase: { tag: "established" }, effects: ["connect", "release", "open"] });
  });

  test("refuses a peer that failed, and releases nothing", () => {
    expect(run([start, bad], of)).toEqual({ phase: { tag: "ended" }, effects: ["connect", "refuse"] });
    expect(run([start, finished, bad], of).effects).not.toContain("release");
  });

  test("with a resumed session goes on without a verdict", () => {
    expect(run([start, finished, notShown], of).phase).toEqual({ tag: "established" });
  });
});

describe("a client at verify-server-identity", () => {
  const of = plan("client", "verify");

  test("is held with the flight withheld, whatever the verdict", () => {
    for (const judged of [good, bad]) {
      const { phase, effects } = run([start, judged], of);
      expect(phase).toMatchObject({ tag: "held", at: "verify", suspended: false });
      expect(effects).toEqual(["connect"]);
      expect(canSuspend(phase)).toBe(true);
      expect(feeds(phase)).toBe(false);
    }
  });

  test("releases on resume after a good verdict", () => {
    expect(run([start, good, suspend, resume], of).effects).toEqual(["connect", "release"]);
    expect(run([start, good, suspend, resume, finished], of).phase).toEqual({ tag: "established" });
  });

  test("is opened by resume when the library had finished before the release", () => {
    expect(run([start, finished, good, suspend, resume], of)).toEqual({
      phase: { tag: "established" },
      effects: ["connect", "release", "open"],
    });
    expect(run([start, good, finished, suspend, resume], of).phase).toEqual({ tag: "established" });
  });

  test("refuses on resume after a failed verdict", () => {
    expect(run([start, bad, suspend, resume], of)).toEqual({ phase: { tag: "ended" }, effects: ["connect", "refuse"] });
  });

  test("releases on resume after a failed verdict that was overridden", () => {
    expect(run([start, bad, suspend, override], of).effects).toEqual(["connect", "release"]);
  });

  test("cannot be resumed before it was suspended", () => {
    const { phase } = run([start, good], of);
    expect(step(phase, resume, of)).toBeUndefined();
  });

  test("cannot be suspended twice", () => {
    const { phase } = run([start, good, suspend], of);
    expect(canSuspend(phase)).toBe(false);
    expect(step(phase, suspend, of)).toBeUndefined();
  });

  test("is judged once", () => {
    const { phase } = run([start, good], of);
    expect(step(phase, good, of)).toBeUndefined();
    expect(step(phase, bad, of)).toBeUndefined();
  });
});

describe("a client at connected", () => {
  const of = plan("client", "done");

  test("is held after the handshake and opened by resume", () => {
    const { phase } = run([start, good, finished], of);
    expect(phase).toMatchObject({ tag: "held", at: "done" });
    expect(run([start, good, finished, suspend, resume], of)).toEqual({
      phase: { tag: "established" },
      effects: ["connect", "release", "open"],
    });
  });
});

test("a client with both points is held twice, in this order", () => {
  const of = plan("client", "verify", "done");
  expect(run([start, finished, good, suspend, resume], of).phase).toMatchObject({ tag: "held", at: "done" });
  expect(run([start, finished, good, suspend, resume, suspend, resume], of).phase).toEqual({ tag: "established" });
});

describe("a server", () => {
  test("without points answers the hello at once", () => {
    expect(run([start, hello, answered, finished], plan("server"))).toEqual({ phase: { tag: "established" }, effects: ["answer", "open"] });
  });

  test("at client-hello answers only after resume", () => {
    const of = plan("server", "client-hello");
    expect(run([start, hello], of)).toEqual({
      phase: { tag: "held", at: "client-hello", suspended: false, acceptable: true, finished: false },
      effects: [],
    });
    expect(run([start, hello, suspend, resume, answered, finished], of).effects).toEqual(["answer", "open"]);
  });

  test("that asks for a certificate is not open before the client was judged", () => {
    const of = plan("server");
    expect(run([start, hello, answeredAndAsks, finished], of).phase).toEqual({ tag: "handshaking", verified: false, finished: true });
    expect(run([start, hello, answeredAndAsks, finished, bad], of)).toEqual({ phase: { tag: "ended" }, effects: ["answer", "refuse"] });
  });

  test("that asks for no certificate is never judged", () => {
    const of = plan("server", "verify");
    const { phase } = run([start, hello, answered], of);
    expect(step(phase, good, of)).toBeUndefined();
  });

  test("is held at verify in both orders of events", () => {
    const of = plan("server", "verify");
    // TLS 1.2: our last flight is withheld, so the library is not done; TLS 1.3: it is.
    expect(run([start, hello, answeredAndAsks, good, suspend, resume, finished], of).phase).toEqual({ tag: "established" });
    expect(run([start, hello, answeredAndAsks, finished, good, suspend, resume], of).phase).toEqual({ tag: "established" });
  });
});

describe("what is never allowed", () => {
  const everything: Event[] = [start, hello, answered, good, bad, notShown, finished, suspend, resume, override];

  test("anything but start before start", () => {
    for (const event of everything.filter((e) => e !== start))
      expect(step(initial, event, plan("client", "verify", "done"))).toBeUndefined();
  });

  test("anything after the end", () => {
    for (const event of [...everything, end]) expect(step({ tag: "ended" }, event, plan("server", "verify"))).toBeUndefined();
  });

  test("anything but the end once established", () => {
    for (const event of everything) expect(step({ tag: "established" }, event, plan("client", "verify", "done"))).toBeUndefined();
    expect(step({ tag: "established" }, end, plan("client"))?.phase).toEqual({ tag: "ended" });
  });

  test("starting twice", () => {
    const of = plan("client");
    expect(step(run([start], of).phase, start, of)).toBeUndefined();
  });

  test("a client hello on a client", () => {
    const of = plan("client");
    expect(step(run([start], of).phase, hello, of)).toBeUndefined();
    expect(step(run([start], of).phase, answered, of)).toBeUndefined();
  });
});

/** Walk every sequence of events up to a depth, and hold the invariants that security rests on. */
test("no order of events opens a connection whose peer was refused or not judged", () => {
  const points: Point[] = ["client-hello", "verify", "done"];
  const events: Event[] = [start, hello, answeredAndAsks, good, bad, finished, suspend, resume, override];
  let visited = 0;
  for (const role of ["client", "server"] as const) {
    for (let mask = 0; mask < 8; mask++) {
      const of = plan(role, ...points.filter((_, bit) => (mask & (1 << bit)) !== 0));
      const visit = (phase: Phase, trace: Event[]) => {
        visited++;
        const judged = trace.some((e) => e === good);
        const overridden = trace.some((e) => e === override);
        const refused = trace.some((e) => e === bad);
        if (phase.tag === "established") {
          expect(judged || (refused && overridden && of.points.has("verify"))).toBe(true);
          expect(trace.filter((e) => e === finished)).toHaveLength(1);
          expect(pointsPassed(phase)).toBe(true);
        }
        if (trace.length === 9) return;
        for (const event of events) {
          const next = step(phase, event, of);
          if (next === undefined) continue;
          if (next.effects.includes("release")) expect(next.effects).not.toContain("refuse");
          visit(next.phase, [...trace, event]);
        }
      };
      visit(initial, []);
    }
  }
  expect(visited).toBeGreaterThan(500);
});
