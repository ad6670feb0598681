import { program } from "./program.ts";
import { configuration } from "./cases/configuration.ts";
import { decisions } from "./cases/decisions.ts";
import { dropping } from "./cases/dropping.ts";
import { endings } from "./cases/endings.ts";
import { forwarding } from "./cases/forwarding.ts";
import { negotiation } from "./cases/negotiation.ts";
import { phases } from "./cases/phases.ts";
import { suspensions } from "./cases/suspensions.ts";

export const run = program([
  ...phases,
  ...configuration,
  ...suspensions,
  ...decisions,
  ...negotiation,
  ...endings,
  ...dropping,
  ...forwarding,
]);
