/** One thing that is wrong with a policy. */
export interface PolicyFault {
  /** Where, in the manner of `$.hosts[3].mode`. */
  readonly path: string;
  /** What is wrong and what is accepted. */
  readonly message: string;
}

/** A policy that cannot be used. It lists everything that was found, in the order of the file. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
  readonly code = "ERR_SALLYPORT_POLICY";
  /** At least one. */
  readonly faults: readonly PolicyFault[];

  constructor(faults: readonly PolicyFault[]) {
    super(faults.map(({ path, message }) => `${path}: ${message}`).join("\n"));
    this.faults = faults;
  }
}

/** Where faults are collected while a policy is read. Past a bound only the first are kept. */
export class Faults {
  readonly list: PolicyFault[] = [];
  /** How many there were, kept or not. */
  count = 0;

  add(path: string, message: string): undefined {
    this.count++;
    if (this.list.length < MAX_FAULTS) this.list.push({ path, message });
  }

  /** @throws {PolicyError} if there is any */
  throwIfAny(): void {
    if (this.list.length > 0) throw new PolicyError(this.list);
  }
}

const MAX_FAULTS = 50;
