import { describe, expect, it } from "vitest";
import { type Issued, LeafCache, LeafExpiredError } from "../../../src/interception/leaf-cache.ts";

const START = 1_000_000;

/** A cache over a clock that is set by hand, and an authority that counts. */
function setUp(capacity = 3) {
  const state = { now: START, issued: [] as string[], lifetime: 1000 };
  const cache = new LeafCache<string>({ capacity, now: () => state.now, renewBefore: 100 });
  const issue = (key: string) => async (): Promise<Issued<string>> => {
    state.issued.push(key);
    return { identity: `${key}#${state.issued.length}`, notAfter: state.now + state.lifetime };
  };
  return { state, cache, obtain: async (key: string) => (await cache.obtain(key, issue(key))).identity };
}

/** An authority that answers when it is told to. */
function slow() {
  const answers: PromiseWithResolvers<Issued<string>>[] = [];
  const issue = () => {
    const answer = Promise.withResolvers<Issued<string>>();
    answers.push(answer);
    return answer.promise;
  };
  return { answers, issue };
}

const leaf = (identity: string): Issued<string> => ({ identity, notAfter: START + 1000 });

describe("a cache of leaves", () => {
  it("issues a name once and keeps it", async () => {
    const { state, obtain } = setUp();
    expect(await obtain("a")).toBe("a#1");
    expect(await obtain("a")).toBe("a#1");
    expect(await obtain("b")).toBe("b#2");
    expect(state.issued).toEqual(["a", "b"]);
  });

  it("issues once for all who ask at the same time", async () => {
    const { cache } = setUp();
    const { answers, issue } = slow();
    const waiting = Array.from({ length: 50 }, async () => (await cache.obtain("a", issue)).identity);
    answers[0]!.resolve(leaf("one"));
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(["one"]));
    expect(answers).toHaveLength(1);
  });

  it("never holds more than its capacity, and drops what was not asked for longest", async () => {
    const { state, cache, obtain } = setUp(3);
    for (const key of ["a", "b", "c", "a", "d"]) await obtain(key);
    expect(cache.size).toBe(3);
    await obtain("a");
    await obtain("c");
    expect(state.issued).toEqual(["a", "b", "c", "d"]);
    await obtain("b");
    expect(state.issued).toEqual(["a", "b", "c", "d", "b"]);
    for (let index = 0; index < 1000; index++) await obtain(`name${index}`);
    expect(cache.size).toBe(3);
  });

  it("issues anew before the end, and not a second earlier", async () => {
    const { state, obtain } = setUp();
    await obtain("a");
    state.now = START + 899;
    expect(await obtain("a")).toBe("a#1");
    state.now = START + 900;
    expect(await obtain("a")).toBe("a#2");
  });

  it("keeps leaves that live shorter than the time before which they would be renewed", async () => {
    const { state, obtain } = setUp();
    state.lifetime = 40;
    await obtain("a");
    state.now = START + 29;
    expect(await obtain("a")).toBe("a#1");
    state.now = START + 30;
    expect(await obtain("a")).toBe("a#2");
  });

  it("does not keep failures, and tells all who waited", async () => {
    const { cache, obtain } = setUp();
    const { answers, issue } = slow();
    const waiting = [cache.obtain("a", issue), cache.obtain("a", issue)].map((one) => one.catch((error: Error) => error.message));
    answers[0]!.reject(new Error("refused"));
    expect(await Promise.all(waiting)).toEqual(["refused", "refused"]);
    expect(await obtain("a")).toBe("a#1");
  });

  it("survives an issuer that throws at once", async () => {
    const { cache, obtain } = setUp();
    const thrower = () => {
      throw new Error("at once");
    };
    await expect(cache.obtain("a", thrower)).rejects.toThrow("at once");
    expect(await obtain("a")).toBe("a#1");
  });

  it("hands out nothing that has ended already", async () => {
    const { state, cache, obtain } = setUp();
    state.lifetime = 0;
    await expect(obtain("a")).rejects.toBeInstanceOf(LeafExpiredError);
    expect(cache.size).toBe(0);
  });

  it("forgets everything with the authority, and hands out nothing that the old one was still issuing", async () => {
    const { cache, obtain } = setUp();
    await obtain("b");
    const { answers, issue } = slow();
    const waiting = cache.obtain("a", issue).then(({ identity }) => identity);
    cache.clear();
    expect(cache.size).toBe(0);
    answers[0]!.resolve(leaf("old"));
    await expect.poll(() => answers.length).toBe(2);
    answers[1]!.resolve(leaf("new"));
    expect(await waiting).toBe("new");
    expect(await obtain("a")).toBe("new");
    expect(await obtain("b")).toBe("b#2");
  });

  it("with no capacity still issues", async () => {
    const { cache, obtain } = setUp(0);
    expect(await obtain("a")).toBe("a#1");
    expect(await obtain("a")).toBe("a#2");
    expect(cache.size).toBe(0);
  });
});

describe("what a cache has issued is dropped", () => {
  function counting(capacity: number) {
    const state = { now: START, count: 0, dropped: [] as string[] };
    const cache = new LeafCache<string>({
      capacity,
      now: () => state.now,
      renewBefore: 100,
      drop: (identity) => void state.dropped.push(identity),
    });
    const issue = async () => leaf(`#${++state.count}`);
    return { state, cache, obtain: (key: string) => cache.obtain(key, issue) };
  }

  it("when it fell out and nobody uses it any more, once", async () => {
    const { state, obtain } = counting(1);
    const [first, again] = [await obtain("a"), await obtain("a")];
    (await obtain("b"))[Symbol.dispose]();
    expect(state.dropped).toEqual([]);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(state.dropped).toEqual([]);
    again[Symbol.dispose]();
    expect(state.dropped).toEqual(["#1"]);
    (await obtain("c"))[Symbol.dispose]();
    expect(state.dropped).toEqual(["#1", "#2"]);
  });

  it("never while it is kept, however often it was used", async () => {
    const { state, obtain } = counting(1);
    for (let round = 0; round < 5; round++) (await obtain("a"))[Symbol.dispose]();
    expect([state.count, state.dropped]).toEqual([1, []]);
  });

  it("when it is issued anew, and when everything is", async () => {
    const { state, cache, obtain } = counting(2);
    (await obtain("a"))[Symbol.dispose]();
    state.now += 950;
    (await obtain("a").catch(() => undefined))?.[Symbol.dispose]();
    expect(state.dropped).toContain("#1");
    cache.clear();
    expect(state.dropped).toHaveLength(state.count);
  });

  it("at once where nothing is kept, but not before all who waited have used it", async () => {
    const { state, obtain } = counting(0);
    const [one, other] = await Promise.all([obtain("a"), obtain("a")]);
    expect([one.identity, other.identity, state.dropped]).toEqual(["#1", "#1", []]);
    one[Symbol.dispose]();
    expect(state.dropped).toEqual([]);
    other[Symbol.dispose]();
    expect(state.dropped).toEqual(["#1"]);
  });
});

describe("a leaf that is wanted at once", () => {
  const setUpDropping = (capacity = 3) => {
    const dropped: string[] = [];
    const state = { now: START };
    const cache = new LeafCache<string>({ capacity, now: () => state.now, renewBefore: 100, drop: (identity) => dropped.push(identity) });
    return { dropped, state, cache };
  };

  it("is the one that is kept, or issued", async () => {
    const { cache } = setUpDropping();
    expect(cache.obtainNow("a", () => leaf("one")).identity).toBe("one");
    expect(cache.obtainNow("a", () => leaf("two")).identity).toBe("one");
    expect((await cache.obtain("a", () => Promise.resolve(leaf("two")))).identity).toBe("one");
  });

  it("is there for as long as it is used, whatever the cache keeps", () => {
    const { cache, dropped } = setUpDropping(1);
    const lease = cache.obtainNow("a", () => leaf("one"));
    cache.obtainNow("b", () => leaf("other"))[Symbol.dispose]();
    expect(dropped).toEqual([]);
    lease[Symbol.dispose]();
    lease[Symbol.dispose]();
    expect(dropped).toEqual(["one"]);
  });

  it("is dropped at once with no capacity", () => {
    const { cache, dropped } = setUpDropping(0);
    cache.obtainNow("a", () => leaf("one"))[Symbol.dispose]();
    expect(dropped).toEqual(["one"]);
  });

  it("is none that has ended already, or that could not be issued", () => {
    const { cache, dropped } = setUpDropping();
    expect(() => cache.obtainNow("a", () => ({ identity: "late", notAfter: START }))).toThrow(LeafExpiredError);
    expect(dropped).toEqual(["late"]);
    const failing = () => {
      throw new Error("no");
    };
    expect(() => cache.obtainNow("a", failing)).toThrow("no");
    expect(cache.obtainNow("a", () => leaf("one")).identity).toBe("one");
  });

  it("does not end what others wait for", async () => {
    const { cache } = setUpDropping();
    const { answers, issue } = slow();
    const waiting = cache.obtain("a", issue);
    expect(cache.obtainNow("a", () => leaf("now")).identity).toBe("now");
    answers[0]!.resolve(leaf("later"));
    expect((await waiting).identity).toBe("later");
  });
});
