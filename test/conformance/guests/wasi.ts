import { sockets } from "./cases/sockets.ts";
import { streams } from "./cases/streams.ts";
import { program } from "./program.ts";

export const run = program([...streams, ...sockets]);
