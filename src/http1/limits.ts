/** Bounds on what a peer can make a parser hold or do. All in bytes unless said otherwise. */
export interface Limits {
  /** Start line and fields, line ends included. */
  head: number;
  /** One line. */
  line: number;
  /** Number of fields. */
  fields: number;
  /** Trailers, counted like a head. */
  trailers: number;
  /** Chunk extensions of a whole message: they are thrown away, and cost all the same. */
  chunkExtensions: number;
  /** Number of interim (1xx) responses before the final one. */
  interim: number;
}

export const defaultLimits: Limits = {
  head: 64 * 1024,
  line: 16 * 1024,
  fields: 100,
  trailers: 16 * 1024,
  chunkExtensions: 16 * 1024,
  interim: 16,
};
